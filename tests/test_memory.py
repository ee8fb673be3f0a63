from contextlib import nullcontext

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
    def grown_by(size):
        torch.ones(size * MEGA // 4)
        return memory.used_memory(CPU) - before

    before = memory.used_memory(CPU)
    assert grown_by(400) < 200 * MEGA
    with memory.memory_kept():
        assert grown_by(400) > 300 * MEGA
        memory.release(CPU)
        assert memory.used_memory(CPU) - before < 200 * MEGA
        assert grown_by(400) > 300 * MEGA
    assert memory.used_memory(CPU) - before < 200 * MEGA


def test_where_memory_cannot_be_measured_all_runs_are_taken_to_fit(monkeypatch):
    monkeypatch.setattr(memory, "used_memory", lambda device: None)
    assert fitting(lambda count: None, 7, CPU) == (7, "not measured")
