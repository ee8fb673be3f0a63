"""How much of a GPU training uses: the operations of an update, counted once, over the seconds that it takes."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from mti.inversion import Run, TextualInversion
from mti.memory import is_out_of_memory, release
from mti.types import LatentDiffusion

PEAKS = {
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "A100": 312.0,
    "A10G": 70.0,
    "A10": 125.0,
    "L40S": 362.0,
    "L4": 121.0,
    "RTX 4090": 165.0,
    "RTX 3090": 71.0,
    "RTX A6000": 155.0,
    "V100": 125.0,
    "T4": 65.0,
}
"""TFLOP/s in half precision, dense, of NVIDIA's data sheets; of several that match a name the first counts."""


@dataclass(frozen=True)
class Throughput:
    """What is reckoned from the seconds of an update."""

    flops: int  # of one update of one run: forward, and the gradient to its embeddings
    peak: float | None = None  # of the device, in TFLOP/s; None if unknown

    def record(self, seconds: float) -> dict[str, float]:
        """TFLOP/s where an update of a run takes so many seconds, and the share of the device's peak."""
        tflops = self.flops / seconds / 1e12
        return {"tflops": round(tflops, 3)} | ({"of_peak": round(tflops / self.peak, 4)} if self.peak else {})

    def told(self, seconds: float) -> str:
        """The same in words."""
        found = self.record(seconds)
        share = f" ({found['of_peak']:.0%} of the peak)" if self.peak else ""
        return f"{found['tflops']:.1f} TFLOP/s{share}"


def throughput(model: LatentDiffusion, run: Run) -> Throughput | None:
    """Counts the operations of a run's update; None on a CPU, and where its memory is short even for that.

    What PyTorch's counter sees are products, convolutions and attention.
    """
    return None if model.device.type == "cpu" else counted(model, run)


def counted(model: LatentDiffusion, run: Run) -> Throughput | None:
    """The same on any device."""
    try:
        with FlopCounterMode(display=False) as counter:
            TextualInversion(model, [run]).to(model.device).training_step(0).backward()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None
    finally:
        release(model.device)
    name = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else ""
    return Throughput(counter.get_total_flops(), peak_of(name))


def peak_of(name: str) -> float | None:
    """The peak of a GPU of that name, in TFLOP/s; None if it is not known."""
    return next((peak for part, peak in PEAKS.items() if re.search(rf"\b{part}\b", name)), None)
