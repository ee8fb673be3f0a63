"""How many runs fit the memory of a device: measured, not guessed. And who keeps it while they are trained."""

from __future__ import annotations

import ctypes
import platform
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

SHARE = 0.8  # of the free memory that may be used: allocators round up, and evaluation needs some too
PROBE = 4  # runs whose step is compared with that of one
GIGA = 2**30
STATUS = Path("/proc/self/status")
OUT_OF_MEMORY = re.compile(
    r"can't allocate memory|not enough memory|out of memory|could not create a (primitive$|memory)", re.IGNORECASE
)
"""What PyTorch's allocators say; the last is oneDNN's, whose buffers a CPU has no room for."""

GLIBC: Any = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # of mallopt (man 3 mallopt)


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
    release(device)
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
    """Give cached memory back: that of a GPU, and what `memory_kept` has kept."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if GLIBC:
        GLIBC.malloc_trim(0)


@contextmanager
def memory_kept() -> Iterator[None]:
    """Within the block, what is freed stays with the process, where glibc allocates; it goes back with `release`.

    Each update frees what the next one takes, and memory that comes anew from the system is slow at first touch.
    The update of 48 fused runs of the pocket suite is a tenth quicker with it.
    """
    if not GLIBC:
        yield
        return
    GLIBC.mallopt(MMAP_MAX, 0)
    GLIBC.mallopt(TRIM_THRESHOLD, -1)
    try:
        yield
    finally:  # the values that glibc comes to by itself
        GLIBC.mallopt(MMAP_MAX, 65536)
        GLIBC.mallopt(MMAP_THRESHOLD, 32 * 2**20)
        GLIBC.mallopt(TRIM_THRESHOLD, 64 * 2**20)
        GLIBC.malloc_trim(0)


def used_memory(device: torch.device) -> int | None:
    """Bytes that this process has allocated; None where that cannot be known."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else _field(STATUS, "VmRSS")


def _peak(work: Callable[[], object], device: torch.device) -> int | None:
    """Bytes that this process had allocated at most while the work was done."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device)
    release(device)
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
