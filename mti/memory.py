"""How many runs fit the memory of a device: measured, not guessed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch

SHARE = 0.8  # of the free memory that may be used: allocators round up, and evaluation needs some too
PROBE = 4  # runs whose step is compared with that of one
GIGA = 2**30
STATUS = Path("/proc/self/status")
OUT_OF_MEMORY = re.compile(
    r"can't allocate memory|not enough memory|out of memory|could not create a (primitive$|memory)", re.IGNORECASE
)
"""What PyTorch's allocators say; the last is oneDNN's, whose buffers a CPU has no room for."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that an allocation failed, on a GPU or on a CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and bool(OUT_OF_MEMORY.search(str(error)))


def fitting(step: Callable[[int], object], wanted: int, device: torch.device) -> tuple[int, str]:
    """How many of `wanted` runs can be trained at once, at least 1, and the reckoning in words.

    `step(n)` does the training step of n runs. Its peak is measured for one run and for a few; what each run
    more takes is their difference, and as many fit as the free memory holds. Where a peak cannot be measured
    (on other systems than Linux without a GPU), all are taken to fit.
    """
    probe = min(PROBE, wanted)
    step(1)  # what the first step alone allocates, such as caches of the libraries, is none of the runs'
    one, few = (_peak(lambda n=n: step(n), device) for n in (1, probe))
    free, used = free_memory(device), used_memory(device)
    if one is None or few is None or free is None or used is None or probe == 1:
        return wanted, "not measured"
    each = max((few - one) / (probe - 1), 1)
    fit = probe + int((used + SHARE * free - few) / each)
    return max(1, min(wanted, fit)), f"a run takes {each / GIGA:.3f} GiB, {free / GIGA:.1f} GiB are free"


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be allocated; None where that cannot be known."""
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserved
    system = _field(Path("/proc/meminfo"), "MemAvailable")
    limits = [left for left in (system, _left_of_group()) if left is not None]
    return min(limits, default=None)


def release(device: torch.device) -> None:
    """Give cached memory of a GPU back."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def used_memory(device: torch.device) -> int | None:
    """Bytes that this process has allocated; None where that cannot be known."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else _field(STATUS, "VmRSS")


def _peak(work: Callable[[], object], device: torch.device) -> int | None:
    """Bytes that this process had allocated at most while the work was done."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here (man 5 proc)
    except OSError:
        return None
    work()
    return _field(STATUS, "VmHWM")


def _left_of_group() -> int | None:
    """What a control group (of a container, or of a cluster's job) may still allocate; None without a limit."""
    group = Path("/sys/fs/cgroup")
    try:
        return int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return None


def _field(path: Path, name: str) -> int | None:
    """A field of a file such as /proc/meminfo, in bytes."""
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB$", path.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found.group(1)) * 1024 if found else None
