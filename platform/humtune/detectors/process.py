"""What a process that trains does once, before its first trial."""

import ctypes

from humtune.plan import Resources

# glibc's own numbers, from malloc.h
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
NEVER = -1
GROWTH = 256 * 2**20  # bytes that the heap grows by


def settle(resources: Resources) -> None:
    """Compute on so many threads and, of a GPU that is shared, within that share of its memory.

    Memory that was freed is kept for the next step, too.
    """
    import torch  # here: a search knows this module, and starts without waiting for torch

    torch.set_num_threads(max(1, int(resources.cpus)))
    keep_freed_memory()
    if resources.device.startswith("cuda") and 0 < resources.gpus < 1:
        torch.cuda.set_per_process_memory_fraction(resources.gpus, resources.device)


def keep_freed_memory() -> bool:
    """Have the C library keep memory that was freed instead of giving it back; whether it can be told to.

    Every step allocates the same large feature maps again. Given back, they come as pages that the kernel
    has to clear first, which cost from an eighth of a step (64×64) to nearly half of it (128×128). No figure
    changes by it. The process then holds as much memory as its largest trial took. glibc alone has the call.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    taken = [mallopt(MMAP_MAX, 0), mallopt(TRIM_THRESHOLD, NEVER), mallopt(TOP_PAD, GROWTH)]
    return all(taken)
