"""The index on disk: made once, extended by the crops of each night, read memory-mapped.

```
FOLDER/<name>/index.json              what belongs to the index, with digests; replaced in one rename, so it is the commit mark
FOLDER/<name>/codebook.safetensors    lists and codes
FOLDER/<name>/segment-<digest>.*      crop ids (Parquet) and their coded descriptors (safetensors); never changed
```

``name`` is the fingerprint of the settings, of the descriptors and of the training sample. The codebook is trained again,
under another name, when the gallery has grown by the factor `RETRAIN_GROWTH`; until then new crops are only
encoded, shard by shard on the workers, up to `SEGMENT_BYTES` at a time. Small segments are merged into the new one and then
removed; a full one is never touched again while most of its crops are in the gallery. Crops that have left the gallery stay
where they are and no query may find them; a segment of which less than half has been in the gallery for `UNUSED_DAYS` is
written again without the others.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import safe_open
from safetensors.torch import save

from resight.errors import DamagedError, SettingsError, WorkspaceError
from resight.shortlist import kept, neighbours
from resight.shortlist.codebook import Codebook
from resight.shortlist.entries import CodedCrops, Entries, encode_crops, merge, without
from resight.shortlist.params import ShortlistParams
from resight.shortlist.passes import Crops, Descriptors
from resight.shortlist.training import train
from resight.store.damage import set_aside
from resight.store.fingerprint import digest_ids, fingerprint
from resight.store.listing import matching
from resight.store.parts import write_bytes, write_part
from resight.store.sealed import read_json, write_json
from resight.weights.digests import sha256_of

FORMAT = 1
INDEX_FILE = "index.json"
CODEBOOK_FILE = "codebook.safetensors"
SEGMENT_BYTES = 128 << 20
MERGE_RATIO = 4
UNUSED_DAYS = 30  # an evaluation may look for some of the crops only, and the next night for all again
_seen: set[tuple[str, int]] = set()  # indexes of which all bytes were compared in this process
RETRAIN_GROWTH = 4.0  # for a gallery that has grown so much, the lists are too few and too coarse


@dataclass(frozen=True, eq=False)
class ShortlistIndex:
    """An opened index.

    Attributes:
        name: Its fingerprint; empty where the gallery has no descriptor at all.
        entries: Codebook and coded descriptors; None where the gallery has no descriptor at all.
    """

    name: str
    entries: Entries | None

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
    folder: Path,
    crop_ids: Sequence[str],
    descriptors: Descriptors,
    params: ShortlistParams,
    descriptor_fingerprint: str,
) -> ShortlistIndex:
    """Open the index under ``folder`` after encoding the crops that it lacks; train one where there is none that fits.

    A killed call is taken up again by the next one.

    Args:
        folder: Holds the indexes, e.g. ``workspace.stage_dir("shortlist", …)``; one call at a time.
        crop_ids: The gallery.
        descriptors: Theirs; a crop may have none.
        params: Settings.
        descriptor_fingerprint: Fingerprint of the extractor that made the descriptors.

    Raises:
        SettingsError: Descriptors are binary, or ``pq_bytes`` does not divide their width.
        WorkspaceError: Files of the index are missing or changed.
    """
    family = params.index_name(descriptor_fingerprint)
    set_damaged_aside(folder)
    path = newest_index(folder, family)
    if path is None or worth_training(path, len(set(crop_ids))):
        codebook = train(crop_ids, descriptors, params, folder)
        if codebook is None:
            return ShortlistIndex("", None)
        path = folder / fingerprint(family, codebook.sample_digest, codebook.n_crops)
        if not (path / INDEX_FILE).exists():
            forget_answers(folder)
        write_codebook(path, codebook, family)
    reclaim(path, frozenset(crop_ids))
    missing = sorted(set(crop_ids) - set(open_index(path).crop_ids))
    if missing:
        extend(path, missing, descriptors, params.descriptors_per_crop)
    return open_index(path)


def forget_answers(folder: Path) -> None:
    """Remove what queries were answered by the indexes of before: the next one may have the name of one that was lost, and other numbers."""
    for name in (kept.FOLDER, neighbours.FOLDER):
        shutil.rmtree(folder / name, ignore_errors=True)


def set_damaged_aside(folder: Path) -> None:
    """Look at all bytes of the indexes, once in a process; what is damaged is built anew."""
    for file in matching(folder, f"*/{INDEX_FILE}"):
        key = str(file), file.stat().st_mtime_ns
        if key in _seen:
            continue
        try:
            open_index(file.parent, verify=True)
            _seen.add(key)
        except DamagedError as damage:
            set_aside(DamagedError(file.parent, f"{damage.path.name}: {damage.why}"), "it is built anew")


def newest_index(folder: Path, family: str) -> Path | None:
    """Of the indexes of that family the one that was trained on the largest gallery."""
    indexes = [(file.parent, _read_manifest(file.parent)) for file in matching(folder, f"*/{INDEX_FILE}")]
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
    parts = [_read_segment(path, segment, verify) for segment in manifest["segments"]]
    return ShortlistIndex(path.name, Entries(_read_codebook(path, manifest), parts))


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


def begin_with(path: Path, other: Path, family: str) -> None:
    """Begin an index without crops that has the codebook of another one; an existing one stays.

    Raises:
        DamagedError: Files of the other one are missing or changed.
    """
    manifest = _read_manifest(other)
    _check_files(other, manifest["codebook"], verify=True)
    write_codebook(path, _read_codebook(other, manifest), family)


def has_codebook_of(path: Path, other: Path) -> bool:
    """Whether two indexes have the same codebook."""
    return codebook_digest(path) == codebook_digest(other)


def codebook_digest(path: Path) -> str:
    """Of the file of the index's codebook; one that was trained again elsewhere may have the same name and other numbers."""
    return str(_read_manifest(path)["codebook"][CODEBOOK_FILE]["sha256"])


def worth_training(path: Path, n_crops: int) -> bool:
    """Whether so many crops need a codebook of their own, because that of the index was trained on too few."""
    return bool(n_crops >= RETRAIN_GROWTH * _read_manifest(path)["n_crops_trained"])


@dataclass(frozen=True)
class Encoding:
    """How crops are encoded: with the codebook of the index at ``path``, the ``most`` strongest descriptors of each."""

    path: Path
    most: int


def encode(crops: Crops, how: Encoding) -> CodedCrops:
    """`encode_crops` on a worker."""
    written = (how.path / CODEBOOK_FILE).stat().st_mtime_ns
    return encode_crops(_codebook_at(how.path, written), crops, how.most)


@lru_cache(maxsize=2)
def _codebook_at(path: Path, _written_ns: int) -> Codebook:
    return _read_codebook(path, _read_manifest(path))


def extend(path: Path, crop_ids: Sequence[str], descriptors: Descriptors, most: int) -> None:
    """Encode more crops with the index's codebook, a segment at a time; whoever is stopped goes on with the segment that is not there.

    Segments up to `MERGE_RATIO` times as large are merged with the new one, as long as the whole is no more than `SEGMENT_BYTES`.
    """
    manifest = _read_manifest(path)
    codebook = _read_codebook(path, manifest)
    full = _crops_of_full_segment(codebook, most)
    for part in descriptors.in_parts(crop_ids, full):
        new = merge(descriptors.visit(part, encode, Encoding(path, most)))
        stay = list(manifest["segments"])
        while stay and stay[-1]["n_crops"] <= min(MERGE_RATIO * len(new.crop_ids), full - len(new.crop_ids)):
            new = merge([_read_segment(path, stay.pop(), verify=True), new])
        manifest["segments"] = [*stay, _write_segment(path, new)]
        _write_manifest(path, manifest)
        _remove_superseded(path, manifest)


def _crops_of_full_segment(codebook: Codebook, most: int) -> int:
    bytes_per_descriptor = 4 + (codebook.n_bytes or 4 * codebook.dim)
    return max(1, SEGMENT_BYTES // (most * bytes_per_descriptor))


def reclaim(path: Path, gallery: Collection[str]) -> None:
    """Write segments again of which less than half has been in the gallery for `UNUSED_DAYS`, without what left it."""
    manifest, segments = _read_manifest(path), []
    for segment in manifest["segments"]:
        ids = _ids_of(path, segment)
        since = segment.get("mostly_unused_since")
        if 2 * sum(crop_id in gallery for crop_id in ids) >= len(ids):
            segments.append({key: value for key, value in segment.items() if key != "mostly_unused_since"})
        elif since is None or (_today() - date.fromisoformat(since)).days < UNUSED_DAYS:
            segments.append({**segment, "mostly_unused_since": since or _today().isoformat()})
        else:
            left = without(_read_segment(path, segment, verify=True), gallery)
            segments += [_write_segment(path, left)] if left.crop_ids else []
    if segments != manifest["segments"]:
        _write_manifest(path, {**manifest, "segments": segments})
        _remove_superseded(path, {"segments": segments})


def _today() -> date:
    return datetime.now(UTC).date()


def _write_segment(path: Path, coded: CodedCrops) -> dict[str, Any]:
    name = f"segment-{digest_ids(coded.crop_ids)}"
    _write_tensors(path / f"{name}.safetensors", starts=coded.starts, stored=coded.stored, crops=coded.crops)
    write_part(path, name, pa.table({"crop_id": pa.array(coded.crop_ids, pa.string())}))
    files = _described(path, [f"{name}.safetensors", f"{name}.parquet"])
    return {"name": name, "n_crops": len(coded.crop_ids), "n_descriptors": len(coded), "files": files}


def _read_segment(path: Path, described: Mapping[str, Any], verify: bool) -> CodedCrops:
    _check_files(path, described["files"], verify)
    return CodedCrops(_ids_of(path, described), **_read_tensors(path / f"{described['name']}.safetensors"))


def _ids_of(path: Path, described: Mapping[str, Any]) -> tuple[str, ...]:
    table = pq.read_table(path / f"{described['name']}.parquet", partitioning=None)
    return tuple(table["crop_id"].to_pylist())


def _read_codebook(path: Path, manifest: Mapping[str, Any]) -> Codebook:
    tensors = _read_tensors(path / CODEBOOK_FILE)
    return Codebook(tensors["centres"], tensors["codes"], manifest["n_crops_trained"], manifest["sample_sha256"])


def _read_manifest(path: Path) -> dict[str, Any]:
    manifest = read_json(path / INDEX_FILE)
    if manifest["format"] > FORMAT:
        raise WorkspaceError(
            f"{path} was written by a newer Resight (format {manifest['format']}, known {FORMAT}); update Resight."
        )
    return manifest


def _write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    write_json(path / INDEX_FILE, manifest, indent=None)


def _write_tensors(file: Path, **tensors: torch.Tensor) -> None:
    write_bytes(file, save({name: tensor.contiguous() for name, tensor in tensors.items()}))


def _read_tensors(file: Path) -> dict[str, torch.Tensor]:
    """Memory-mapped tensors."""
    with safe_open(file, framework="pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)


def _described(path: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {name: {"bytes": (path / name).stat().st_size, "sha256": sha256_of(path / name)} for name in names}


def _check_files(path: Path, files: Mapping[str, Mapping[str, Any]], verify: bool) -> None:
    for name, expected in files.items():
        file = path / name
        cure = f"delete {path} and the shortlist is built anew"
        if not file.exists():
            raise DamagedError(file, "it is missing", cure)
        if file.stat().st_size != expected["bytes"] or (verify and sha256_of(file) != expected["sha256"]):
            raise DamagedError(file, "it was changed after it was written", cure)


def _remove_superseded(path: Path, manifest: Mapping[str, Any]) -> None:
    wanted = {name for segment in manifest["segments"] for name in segment["files"]}
    for file in matching(path, "segment-*"):
        if file.name not in wanted:
            with suppress(PermissionError):  # Windows keeps files that are mapped; the next call removes them
                file.unlink()
