"""Words that all sentences for people share."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """``1 photo``, ``2 photos``."""
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"
