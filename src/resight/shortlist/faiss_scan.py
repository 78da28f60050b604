"""The same search with faiss: our lists and codes in its inverted file. On 312 photos it took 1.3 times as long as the torch backend.

On macOS torch and faiss may bring two OpenMP libraries, which end the process (facebookresearch/faiss issue 3401); the torch
backend has no such trouble.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from resight.errors import SettingsError
from resight.extract.block import one_thread
from resight.shortlist.codebook import Codebook
from resight.shortlist.entries import Entries, Found, Query

BITS = 8


class FaissScanner:
    """IndexIVFPQ (or IndexIVFFlat where descriptors are kept as they are) in memory, filled from the stored codes."""

    def __init__(self, entries: Entries) -> None:
        """Raises SettingsError where faiss is not installed."""
        self.entries = entries
        self.faiss = load_faiss()
        with one_thread():
            self.quantiser, self.index = _empty_index(self.faiss, entries.codebook)  # faiss keeps no hold of the first
            for number in range(len(entries.codebook.centres)):
                stored, rows = entries.of_list(number)
                if len(rows):
                    self._fill(number, stored, rows)

    def nearest(self, queries: Sequence[Query], n_probe: int, n: int) -> list[Found]:
        """See `Scanner.nearest`."""
        return [self._nearest(query.of(query.descriptors), query.allowed, n_probe, n) for query in queries]

    def _nearest(self, x: torch.Tensor, allowed: torch.Tensor | None, n_probe: int, n: int) -> Found:
        options: dict[str, Any] = {"nprobe": min(n_probe, len(self.entries.codebook.centres))}
        if allowed is not None:
            bits = np.packbits(allowed.numpy(), bitorder="little")
            options["sel"] = self.faiss.IDSelectorBitmap(bits)
        parameters = self.faiss.SearchParametersIVF(**options)
        before = self.faiss.omp_get_max_threads()  # faiss has threads of its own, which `one_thread` does not reach
        self.faiss.omp_set_num_threads(1)
        try:
            squared, rows = self.index.search(x.numpy(), n, params=parameters)
        finally:
            self.faiss.omp_set_num_threads(before)
        distance = np.sqrt(np.where(rows >= 0, np.maximum(squared, 0), np.inf))
        return torch.from_numpy(distance.astype(np.float32)), torch.from_numpy(rows)

    def _fill(self, number: int, stored: torch.Tensor, rows: torch.Tensor) -> None:
        codes = np.ascontiguousarray(stored.numpy()).view(np.uint8)
        ids = np.ascontiguousarray(rows.numpy())
        self.index.invlists.add_entries(number, len(ids), self.faiss.swig_ptr(ids), self.faiss.swig_ptr(codes))
        self.index.ntotal += len(ids)


def load_faiss() -> Any:
    """The module.

    Raises:
        SettingsError: It is not installed.
    """
    try:
        return importlib.import_module("faiss")
    except ModuleNotFoundError:
        raise SettingsError(
            "shortlist.backend = 'faiss' needs faiss, which is not installed: pip install 'resight[faiss]', "
            "or set shortlist.backend = 'torch'"
        ) from None


def _empty_index(faiss: Any, codebook: Codebook) -> tuple[Any, Any]:
    centres = np.ascontiguousarray(codebook.centres.numpy())
    quantiser = faiss.IndexFlatL2(codebook.dim)
    quantiser.add(centres)
    if codebook.n_bytes:
        index = faiss.IndexIVFPQ(quantiser, codebook.dim, len(centres), codebook.n_bytes, BITS)
        faiss.copy_array_to_vector(np.ascontiguousarray(codebook.codes.numpy()).ravel(), index.pq.centroids)
    else:
        index = faiss.IndexIVFFlat(quantiser, codebook.dim, len(centres))
    index.is_trained = True
    if codebook.n_bytes:
        index.precompute_table()
    return quantiser, index
