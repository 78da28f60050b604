"""Commands `resight weights list`, `verify` and `fetch`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from resight.errors import WeightsError
from resight.weights.digests import sha256_of
from resight.weights.registry import WEIGHTS, KnownWeights
from resight.weights.store import WeightFile, WeightStore, expected_digest


@dataclass(frozen=True)
class WeightRow:
    """One line of the list.

    Attributes:
        name: Registry name.
        loads_into: Network.
        licence: SPDX identifier.
        commercial: Whether the licence lets companies use it.
        path: Where the file lies; empty where it was not found.
        status: ``found`` or ``missing``; after `verify` also ``right``, ``wrong digest``, or ``no record`` (nothing to
            compare with yet).
        address: Official address; empty for files that are never fetched.
    """

    name: str
    loads_into: str
    licence: str
    commercial: bool
    path: str
    status: str
    address: str


def list_weights(store: WeightStore) -> list[WeightRow]:
    """All known weights and where they lie; reads no file."""
    return [_row(entry, store) for entry in WEIGHTS.values()]


def verify(store: WeightStore) -> list[WeightRow]:
    """As `list_weights`, with the digest of every file that is there checked."""
    return [replace(row, status=_verdict(row.name, store)) for row in list_weights(store)]


def fetch(store: WeightStore, name: str) -> WeightFile:
    """Fetch a registry entry, even if ``allow_download`` is off: this is only called on request.

    Raises:
        WeightsError: The name is unknown, the weights are never fetched, or no address gave the right bytes.
    """
    if name not in WEIGHTS:
        raise WeightsError(f"There are no weights called '{name}' to fetch; `resight weights list` shows the names.")
    return replace(store, allow_download=True).find(name)


def _row(entry: KnownWeights, store: WeightStore) -> WeightRow:
    located = store.locate(entry.name)
    address = next((a for file in entry.files for a in file.addresses), "")
    path, status = (str(located[1]), "found") if located else ("", "missing")
    return WeightRow(entry.name, entry.loads_into, entry.licence, entry.commercial, path, status, address)


def _verdict(name: str, store: WeightStore) -> str:
    located = store.locate(name)
    if located is None:
        return "missing"
    expected = expected_digest(located[0])
    if expected is None:
        return "no record"
    return "right" if expected == sha256_of(located[1]) else "wrong digest"
