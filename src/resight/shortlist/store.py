"""The index on disk: made once, extended by the crops of each night, read memory-mapped.

```
FOLDER/<name>/index.json              what belongs to the index, with digests; replaced in one rename, so it is the commit mark
FOLDER/<name>/codebook.safetensors    lists and codes
FOLDER/<name>/segment-<digest>.*      crop ids (Parquet) and their coded descriptors (safetensors); never changed
```

``name`` is the fingerprint of the settings, of the descriptors and of the training sample. The codebook is trained again,
under another name, when the gallery has grown by the factor `RETRAIN_GROWTH`; until then new crops are only
encoded. Small segments are merged into the new one and then removed, so that there are never more than a few.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import safe_open
from safetensors.torch import save

from resight.errors import SettingsError, WorkspaceError
from resight.shortlist.codebook import Codebook, Load, train
from resight.shortlist.entries import CodedCrops, Entries, encode_crops, merge
from resight.shortlist.params import ShortlistParams
from resight.store.fingerprint import canonical_json, digest_ids, fingerprint
from resight.store.parts import write_bytes, write_part

FORMAT = 1
INDEX_FILE = "index.json"
CODEBOOK_FILE = "codebook.safetensors"
CROPS_PER_PART = 2048
MERGE_RATIO = 4
RETRAIN_GROWTH = 4.0  # for a gallery that has grown so much, the lists are too few and too coarse


@dataclass(frozen=True, eq=False)
class ShortlistIndex:
    """An opened index.

    Attributes:
        name: Its fingerprint; empty where the gallery has no descriptor at all.
        entries: Codebook and coded descriptors; None where the gallery has no descriptor at all.
        n_bytes: Size on disk.
    """

    name: str
    entries: Entries | None
    n_bytes: int = 0

    @cached_property
    def crop_ids(self) -> tuple[str, ...]:
        """(R,) crop of each row; may hold crops that have left the gallery, which ``allowed`` keeps out."""
        return self.entries.crop_ids if self.entries else ()

    def check_width(self, dim: int) -> None:
        """Raise SettingsError where descriptors of that width cannot be looked up."""
        if self.entries and dim != self.entries.codebook.dim:
            raise SettingsError(
                f"the shortlist holds descriptors of {self.entries.codebook.dim} numbers and was asked with {dim}; "
                "extract queries and gallery with the same settings"
            )


def build_index(
    folder: Path, crop_ids: Sequence[str], load: Load, params: ShortlistParams, descriptor_fingerprint: str
) -> ShortlistIndex:
    """Open the index under ``folder`` after encoding the crops that it lacks; train one where there is none that fits.

    A killed call is taken up again by the next one.

    Args:
        folder: Holds the indexes, e.g. ``workspace.stage_dir("shortlist", …)``; one call at a time.
        crop_ids: The gallery.
        load: Gives a crop's descriptors (N, D), strongest first; N may be 0.
        params: Settings.
        descriptor_fingerprint: Fingerprint of the extractor that made the descriptors.

    Raises:
        SettingsError: Descriptors are binary, or ``pq_bytes`` does not divide their width.
        WorkspaceError: Files of the index are missing or changed.
    """
    family = params.index_name(descriptor_fingerprint)
    path = newest_index(folder, family)
    if path is None or len(set(crop_ids)) >= RETRAIN_GROWTH * _read_manifest(path)["n_crops_trained"]:
        codebook = train(crop_ids, load, params)
        if codebook is None:
            return ShortlistIndex("", None)
        path = folder / fingerprint(family, codebook.sample_digest, codebook.n_crops)
        write_codebook(path, codebook, family)
    missing = sorted(set(crop_ids) - set(open_index(path).crop_ids))
    for first in range(0, len(missing), CROPS_PER_PART):
        extend(path, missing[first : first + CROPS_PER_PART], load, params.descriptors_per_crop)
    return open_index(path)


def newest_index(folder: Path, family: str) -> Path | None:
    """Of the indexes of that family the one that was trained on the largest gallery."""
    indexes = [(file.parent, _read_manifest(file.parent)) for file in folder.glob(f"*/{INDEX_FILE}")]
    sizes = [
        (manifest["n_crops_trained"], path.name, path) for path, manifest in indexes if manifest["family"] == family
    ]
    return max(sizes)[2] if sizes else None


def open_index(path: Path, *, verify: bool = False) -> ShortlistIndex:
    """Open ``FOLDER/<name>``; coded descriptors stay on disk until they are looked at.

    Args:
        path: Folder of the index.
        verify: Compare the digests of the segments too, which reads all of them. Sizes are always compared.

    Raises:
        WorkspaceError: A file is missing or changed, or a newer version wrote it.
    """
    manifest = _read_manifest(path)
    _check_files(path, manifest["codebook"], verify=True)
    entries = Entries(
        _read_codebook(path, manifest), [_read_segment(path, segment, verify) for segment in manifest["segments"]]
    )
    parts = [manifest["codebook"], *(segment["files"] for segment in manifest["segments"])]
    return ShortlistIndex(path.name, entries, sum(file["bytes"] for files in parts for file in files.values()))


def write_codebook(path: Path, codebook: Codebook, family: str) -> None:
    """Begin an index without crops; an existing one stays."""
    if (path / INDEX_FILE).exists():
        return
    _write_tensors(path / CODEBOOK_FILE, centres=codebook.centres, codes=codebook.codes)
    manifest = {
        "format": FORMAT,
        "family": family,
        "n_crops_trained": codebook.n_crops,
        "sample_sha256": codebook.sample_digest,
        "codebook": _described(path, [CODEBOOK_FILE]),
        "segments": [],
    }
    _write_manifest(path, manifest)


def extend(path: Path, crop_ids: Sequence[str], load: Load, most: int) -> None:
    """Encode more crops with the index's codebook; segments up to `MERGE_RATIO` times as large are merged with them."""
    manifest = _read_manifest(path)
    new = encode_crops(_read_codebook(path, manifest), crop_ids, load, most)
    kept = list(manifest["segments"])
    while kept and kept[-1]["n_crops"] <= MERGE_RATIO * len(new.crop_ids):
        new = merge([_read_segment(path, kept.pop(), verify=True), new])
    manifest["segments"] = [*kept, _write_segment(path, new)]
    _write_manifest(path, manifest)
    _remove_superseded(path, manifest)


def _write_segment(path: Path, coded: CodedCrops) -> dict[str, Any]:
    name = f"segment-{digest_ids(coded.crop_ids)}"
    _write_tensors(path / f"{name}.safetensors", starts=coded.starts, stored=coded.stored, crops=coded.crops)
    write_part(path, name, pa.table({"crop_id": pa.array(coded.crop_ids, pa.string())}))
    files = _described(path, [f"{name}.safetensors", f"{name}.parquet"])
    return {"name": name, "n_crops": len(coded.crop_ids), "n_descriptors": len(coded), "files": files}


def _read_segment(path: Path, described: Mapping[str, Any], verify: bool) -> CodedCrops:
    _check_files(path, described["files"], verify)
    ids = pq.read_table(path / f"{described['name']}.parquet", partitioning=None)["crop_id"].to_pylist()
    return CodedCrops(tuple(ids), **_read_tensors(path / f"{described['name']}.safetensors"))


def _read_codebook(path: Path, manifest: Mapping[str, Any]) -> Codebook:
    tensors = _read_tensors(path / CODEBOOK_FILE)
    return Codebook(tensors["centres"], tensors["codes"], manifest["n_crops_trained"], manifest["sample_sha256"])


def _read_manifest(path: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((path / INDEX_FILE).read_text(encoding="utf-8"))
    if manifest["format"] > FORMAT:
        raise WorkspaceError(
            f"{path} was written by a newer Resight (format {manifest['format']}, known {FORMAT}); update Resight."
        )
    return manifest


def _write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    write_bytes(path / INDEX_FILE, canonical_json(manifest).encode())


def _write_tensors(file: Path, **tensors: torch.Tensor) -> None:
    write_bytes(file, save({name: tensor.contiguous() for name, tensor in tensors.items()}))


def _read_tensors(file: Path) -> dict[str, torch.Tensor]:
    """Memory-mapped tensors."""
    with safe_open(file, framework="pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)


def _described(path: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {name: {"bytes": (path / name).stat().st_size, "sha256": _sha256(path / name)} for name in names}


def _check_files(path: Path, files: Mapping[str, Mapping[str, Any]], verify: bool) -> None:
    for name, expected in files.items():
        file = path / name
        if not file.exists():
            raise WorkspaceError(f"{file} is missing; delete {path} and the shortlist is built anew.")
        if file.stat().st_size != expected["bytes"] or (verify and _sha256(file) != expected["sha256"]):
            raise WorkspaceError(
                f"{file} was changed after it was written; delete {path} and the shortlist is built anew."
            )


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _remove_superseded(path: Path, manifest: Mapping[str, Any]) -> None:
    wanted = {name for segment in manifest["segments"] for name in segment["files"]}
    for file in path.glob("segment-*"):
        if file.name not in wanted:
            with suppress(PermissionError):  # Windows keeps files that are mapped; the next call removes them
                file.unlink()
