"""Names for outputs: a changed setting, weight or algorithm gets another name, an unchanged one the same."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

FINGERPRINT_CHARS = 16


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, so that equal values give equal text on every machine."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_plain)


def fingerprint(*parts: Any) -> str:
    """First 16 hex digits of the SHA-256 over the canonical JSON of ``parts``.

    ``parts`` are settings objects, weight digests, revision numbers and the fingerprint of the stage before.
    """
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:FINGERPRINT_CHARS]


def digest_ids(ids: Iterable[str]) -> str:
    """Fingerprint of an ordered list of ids, without building its JSON."""
    h = hashlib.sha256()
    for one in ids:
        h.update(one.encode())
        h.update(b"\n")
    return h.hexdigest()[:FINGERPRINT_CHARS]


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "__fspath__"):
        return value.__fspath__()
    raise TypeError(f"{type(value).__name__} has no canonical form; turn it into plain values first")
