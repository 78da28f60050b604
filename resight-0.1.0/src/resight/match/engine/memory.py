"""Keeping freed memory in the process."""

from __future__ import annotations

from functools import cache

import torch

LARGEST_ADAPTIVE_BYTES = (32 << 20) - (64 << 10)


@cache
def keep_freed_memory() -> None:
    """Let the allocator keep blocks of up to 32 MB that are freed, once per process.

    By default glibc hands megabytes back to the kernel as soon as they are freed, and every layer of every pair pays
    for them again in page faults: 13 to 23 % of the time of a pair. glibc raises its threshold to the largest block of up to
    32 MB that it has seen freed (mallopt(3), M_MMAP_THRESHOLD), so freeing one of nearly that size is all it takes;
    the process then holds on to at most twice as much. Other allocators do not mind.
    """
    torch.empty(LARGEST_ADAPTIVE_BYTES, dtype=torch.uint8)
