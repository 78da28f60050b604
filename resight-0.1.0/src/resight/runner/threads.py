"""How many threads the libraries below use: one, because there is a worker per core."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep OpenCV and torch to one thread: there is a worker per core, and sums come out the same whatever the machine."""
    import cv2

    before_cv2 = cv2.getNumThreads()
    torch = sys.modules.get("torch")
    before_torch = torch.get_num_threads() if torch else 0
    cv2.setNumThreads(1)
    if torch:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before_cv2)
        if torch:
            torch.set_num_threads(before_torch)
