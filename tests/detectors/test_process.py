"""What a training process does first: threads, freed memory that is kept, a share of a GPU."""

import ctypes
import platform
import resource

import pytest
import torch

from humtune.detectors.process import keep_freed_memory, settle
from humtune.plan import Resources

PAGES = 64 * 2**20 // resource.getpagesize()


def faults_of_a_large_tensor() -> int:
    """Pages that the kernel has to bring when 64 MB are taken and written."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_a_library_without_the_call_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert keep_freed_memory() is False


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone has the call")
def test_freed_memory_comes_back_without_the_kernel() -> None:
    assert keep_freed_memory() is True
    for _ in range(10):  # the heap grows, by more than one tensor
        faults_of_a_large_tensor()
    assert faults_of_a_large_tensor() < PAGES / 10


@pytest.mark.parametrize(("cpus", "threads"), [(0.5, 1), (1.0, 1), (2.9, 2)])
def test_a_trial_gets_whole_threads(cpus: float, threads: int) -> None:
    settle(Resources(cpus=cpus))
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("device", "gpus", "shares"),
    [
        ("cpu", 0.5, []),
        ("cuda", 1.0, []),
        ("cuda", 0.25, [(0.25, "cuda")]),
        ("cuda:1", 0.5, [(0.5, "cuda:1")]),
    ],
)
def test_trials_that_share_a_gpu_share_its_memory(
    monkeypatch: pytest.MonkeyPatch, device: str, gpus: float, shares: list[tuple[float, str]]
) -> None:
    capped: list[tuple[float, str]] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *what: capped.append(what))
    settle(Resources(device=device, gpus=gpus))
    assert capped == shares
