"""How fast a GPU trains Stable Diffusion 1.5's architecture, in which ways, and with how much memory. See README.md."""

from __future__ import annotations

import argparse
import runpy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measure import BATCH, floor, keep, machine, of_diffusers, runs_of, steady

from mti.batches import fitting_runs
from mti.inversion import TextualInversion
from mti.models.pretrained import PretrainedModel
from mti.throughput import counted, peak_of

FULL_SIZE = Path(__file__).parent.parent / "full_size" / "measure.py"
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "channels last": {"channels_last": True},
    "compiled": {"compile": True},
    "channels last, compiled": {"channels_last": True, "compile": True},
    "CUDA graphs": {"compile": "reduce-overhead"},
    "gradient checkpointing": {"gradient_checkpointing": True},
}
UPDATES = 5000  # of the paper


def gpu(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of an update of one run and of as many as fit, in each way; memory by the number of runs."""
    device = torch.device(options.device)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = options.model or runpy.run_path(str(FULL_SIZE))["random_model"](
            "sd15", scratch / "sd15", torch.float32
        )
        model = built(folder, {}, device)
        most, told = fitting_runs(model, runs_of(model, 1)[0], options.at_most)
        work = counted(model, runs_of(model, 1)[0])
        assert work, "memory that held all runs holds one"
        peak = options.peak or peak_of(torch.cuda.get_device_name() if device.type == "cuda" else "")
        memory = {n: memory_of(model, n) for n in sizes(most)}
        ways = {
            way: tried(lambda how: paces(built(folder, how, device), most, work.flops, peak), way)
            for way in options.ways
        }
        script = None
        if options.diffusers:
            done = of_diffusers(options.diffusers, folder, model.resolution, options.steps, "bf16", scratch)
            script = {"samples/s": BATCH / done["step"][0]}
    return {"runs at once": most, "memory": told, "GiB by runs": memory, "ways": ways, "diffusers": script}


def tried(measure: Callable[[dict[str, Any]], dict[str, Any]], way: str) -> dict[str, Any]:
    """What is measured in a way, or the error that it ends with: the other ways are measured too."""
    try:
        return measure(WAYS[way])
    except RuntimeError as error:
        return {"error": str(error).partition("\n")[0]}


def built(folder: Path, how: dict[str, Any], device: torch.device) -> Any:
    """The model, on the device."""
    torch.compiler.reset()
    return PretrainedModel(str(folder), **how).load().to(device)


def sizes(most: int) -> list[int]:
    """1, 2, 4 … runs, and as many as fit."""
    return sorted({most, *(2**k for k in range(most.bit_length()))})


def memory_of(model: Any, runs: int) -> float | None:
    """GiB that an update of so many runs takes at most."""
    if model.device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats()
    TextualInversion(model, runs_of(model, runs)).to(model.device).training_step(0).backward()
    return torch.cuda.max_memory_allocated() / 2**30


def paces(model: Any, most: int, flops: int, peak: float | None) -> dict[str, Any]:
    """What one run does, and what as many as fit do."""
    found: dict[str, Any] = {}
    for runs in sorted({1, most}):
        step = steady(model, runs_of(model, runs), 8)[0]
        tflops = flops * runs / step / 1e12
        found[f"{runs} at once"] = {
            "samples/s": BATCH * runs / step,
            "concepts an hour": 3600 * runs / step / UPDATES,
            "TFLOP/s": tflops,
            "share of the peak": tflops / peak if peak else None,
            "step to its floor": (step / floor(model, BATCH * runs))[0],
        }
    return found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a pipeline's folder, instead of random weights")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--diffusers", type=Path, help="diffusers' examples/textual_inversion/textual_inversion.py")
    parser.add_argument("--steps", type=int, default=50, help="of the script")
    parser.add_argument("--at-most", type=int, default=48, help="runs at once")
    parser.add_argument("--peak", type=float, help="of the GPU in bf16, in TFLOP/s, where it is not known by its name")
    parser.add_argument("--device", default="cuda")
    return parser.parse_args()


if __name__ == "__main__":
    options, where = arguments(), machine()
    keep(gpu(options), options, where, "gpu")
