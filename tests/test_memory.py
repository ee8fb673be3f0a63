import runpy
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from mti import memory
from mti.memory import fitting, is_out_of_memory

CPU, MEGA = torch.device("cpu"), 2**20


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (RuntimeError("unable to mmap 4096 bytes: not enough memory"), True),
        (RuntimeError("could not create a primitive"), True),
        (
            RuntimeError("could not create a primitive descriptor for a convolution forward propagation primitive"),
            False,
        ),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, expected):
    assert is_out_of_memory(error) == expected


@pytest.mark.skipif(memory.used_memory(CPU) is None, reason="needs Linux's /proc")
@pytest.mark.parametrize("company", [nullcontext, memory.memory_kept])
def test_what_fits_is_measured(monkeypatch, company):
    """Steps that take 64 MiB a run, and 640 MiB of which 80 % may be used, beyond what is in use."""

    def step(count):
        return torch.ones(count * 16 * MEGA).sum()

    monkeypatch.setattr(memory, "free_memory", lambda device: 640 * MEGA)
    with company():
        torch.ones(400 * MEGA)  # what is kept of before is none of the runs'
        fit, told = fitting(step, 100, CPU)
    assert 7 <= fit <= 9
    assert told.endswith("0.6 GiB are free")
    assert fitting(step, 3, CPU)[0] == 3
    monkeypatch.setattr(memory, "free_memory", lambda device: MEGA)
    assert fitting(step, 100, CPU)[0] == 1


@pytest.mark.skipif(memory.GLIBC is None or memory.used_memory(CPU) is None, reason="needs Linux with glibc")
def test_freed_memory_stays_within_the_block_and_goes_back_after_it():
    """In a process of its own: what this one has freed before may be taken again, and that stays."""
    code = """
import torch
from mti.memory import memory_kept, release, used_memory

cpu = torch.device("cpu")
before = used_memory(cpu)

def grown_by(size):
    torch.ones(size * 2**18)
    return (used_memory(cpu) - before) >> 20

print(grown_by(400))
with memory_kept():
    print(grown_by(400))
    release(cpu)
    print(grown_by(0), grown_by(400))
print(grown_by(0))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    freed, kept, released, again, after = map(int, done.stdout.split())
    assert max(freed, released, after) < 200
    assert min(kept, again) > 300


def test_where_memory_cannot_be_measured_all_runs_are_taken_to_fit(monkeypatch):
    monkeypatch.setattr(memory, "used_memory", lambda device: None)
    assert fitting(lambda count: None, 7, CPU) == (7, "not measured")


def test_the_experiment_counts_what_is_held_at_most():
    script = Path(__file__).parent.parent / "experiments" / "memory" / "measure.py"
    with runpy.run_path(str(script))["Held"]() as held:
        one = torch.ones(MEGA)  # of four bytes
        view = one[: MEGA // 2]
        del one
        two = view + 1
        del view, two
        three = torch.ones(MEGA // 4)
    assert held.most == 6 * MEGA
    assert held.now == three.nbytes
