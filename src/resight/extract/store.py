"""The feature store: one immutable Zarr v3 group per batch of crops.

The coordinating process creates the group at full size. Each shard of rows is written once, whole, by one worker; a mark
with digests beside the group says that it is there. ``_COMPLETE.json``, written last, makes the batch readable. Two
writers in one shard would lose rows without a word, so a write that is not exactly one shard is refused.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resight.errors import DamagedError, ResightError, WorkspaceError
from resight.extract.base import Features
from resight.extract.marks import gathered, mark_path, marks_of, read_mark
from resight.extract.opened import Group, StoredArray, attributes_of
from resight.store.durable import put_in_place, sync_tree, write_bytes
from resight.store.sealed import DIFFERS, read_json, write_json

FORMAT, VERSION = "resight-features", 1
COMPLETE = "_COMPLETE.json"
NOT_WHOLE = "it is missing or not whole"
SHARD_ROWS = 64
ROW_DIGESTS, ROW_DIGITS = "row_sha256", 16

ABOUT = {
    "keypoints": "x (right) and y (down) in crop pixels; pixel centres are integers; unit px",
    "scales": "sigma of the detector, 0 where it has none; unit px",
    "angles": "from the x axis towards the y axis (clockwise on the screen), in (-pi, pi], 0 where there is none; unit rad",
    "scores": "response of the detector; larger is stronger; rows are sorted by it, strongest first",
    "descriptors": "one row per keypoint",
    "n_keypoints": "keypoints of the crop; what follows in the padded rows is 0",
    "image_size_wh": "width and height of the crop; unit px",
}


class UnalignedWriteError(ResightError):
    """Somebody wants to write rows that are not exactly one shard."""


@dataclass(frozen=True)
class Layout:
    """Shape of a batch.

    Attributes:
        n_rows: Crops.
        shard_rows: Crops in one shard.
        max_keypoints: Padded length of a row.
        descriptor_dim: Width of a descriptor.
        descriptor_dtype: How it is stored.
    """

    n_rows: int
    shard_rows: int
    max_keypoints: int
    descriptor_dim: int
    descriptor_dtype: str

    def shards(self) -> list[tuple[int, int]]:
        """(start, stop) of the rows of every shard."""
        starts = range(0, self.n_rows, self.shard_rows)
        return [(start, min(start + self.shard_rows, self.n_rows)) for start in starts]

    def arrays(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape of one row and dtype of every array."""
        k = self.max_keypoints
        return {
            "keypoints": ((k, 2), "float32"),
            "scales": ((k,), "float32"),
            "angles": ((k,), "float32"),
            "scores": ((k,), "float32"),
            "descriptors": ((k, self.descriptor_dim), self.descriptor_dtype),
            "n_keypoints": ((), "int32"),
            "image_size_wh": ((2,), "int32"),
        }


def create(folder: Path, layout: Layout, crop_ids: Sequence[str], about: Mapping[str, Any]) -> None:
    """Create the group at full size, in one rename; ``about`` goes into its attributes."""
    head = {"format": FORMAT, "version": VERSION, "shard_rows": layout.shard_rows, "crop_ids": list(crop_ids)}
    temporary = folder.parent / f".{folder.name}.{uuid.uuid4().hex}.tmp"
    arrays = {
        name: StoredArray(temporary / name, (layout.n_rows, *row), np.dtype(dtype).newbyteorder("<"), layout.shard_rows)
        for name, (row, dtype) in layout.arrays().items()
    }
    Group(temporary, {**head, **about}, arrays).describe(ABOUT)
    sync_tree(temporary)
    put_in_place(temporary, folder)


def write_shard(folder: Path, start: int, rows: Sequence[Features], failed: Mapping[str, str] | None = None) -> None:
    """Write the rows from ``start`` on, which must be exactly one shard, then its mark.

    Args:
        folder: The group.
        start: First row.
        rows: One for every row of the shard.
        failed: Reason by crop_id of rows that hold nothing because something went wrong.

    Raises:
        UnalignedWriteError: The rows are not one whole shard.
        ValueError: A row has more keypoints than the store or descriptors of another type.
    """
    group, stop = _opened(folder), start + len(rows)
    layout = layout_of(group)
    if (start, stop) not in layout.shards():
        raise UnalignedWriteError(
            f"Rows {start} to {stop} of {folder} are not one whole shard of {layout.shard_rows}; two writers in a shard "
            "would lose rows. Write whole shards only."
        )
    arrays = pack(layout, rows)
    for name, values in arrays.items():
        file, content = group.arrays[name].shard_file(start), group.arrays[name].packed(values)
        if content:
            write_bytes(file, content)
        else:
            file.unlink(missing_ok=True)
    digests = {name: digest(values) for name, values in arrays.items()}
    mark = {
        "rows": [start, stop],
        "sha256": digests,
        ROW_DIGESTS: "".join(row_digests(arrays)),
        "failed": dict(failed or {}),
    }
    write_bytes(mark_path(folder, start), json.dumps(mark).encode())


def pack(layout: Layout, rows: Sequence[Features]) -> dict[str, np.ndarray]:
    """Padded arrays of ``rows`` as they are stored."""
    arrays = {name: np.zeros((len(rows), *row), dtype) for name, (row, dtype) in layout.arrays().items()}
    for i, features in enumerate(rows):
        n = len(features)
        if n > layout.max_keypoints or str(features.descriptors.dtype) != layout.descriptor_dtype:
            raise ValueError(f"{n} keypoints with {features.descriptors.dtype} descriptors do not fit {layout}")
        values = (features.xy_px, features.scale_px, features.angle_rad, features.score, features.descriptors)
        for name, value in zip(("keypoints", "scales", "angles", "scores", "descriptors"), values, strict=True):
            arrays[name][i, :n] = value
        arrays["n_keypoints"][i], arrays["image_size_wh"][i] = n, features.size_wh_px
    return arrays


def unpack(arrays: Mapping[str, np.ndarray]) -> tuple[Features, ...]:
    """The rows of `pack`, without their padding."""
    return tuple(
        Features(
            xy_px=arrays["keypoints"][i, :n].copy(),
            descriptors=arrays["descriptors"][i, :n].copy(),
            scale_px=arrays["scales"][i, :n].copy(),
            angle_rad=arrays["angles"][i, :n].copy(),
            score=arrays["scores"][i, :n].copy(),
            size_wh_px=(int(arrays["image_size_wh"][i, 0]), int(arrays["image_size_wh"][i, 1])),
        )
        for i, n in enumerate(arrays["n_keypoints"].tolist())
    )


def layout_of(group: Group) -> Layout:
    """Layout of an existing group."""
    descriptors = group.arrays["descriptors"]
    n_rows, max_keypoints, width = descriptors.shape
    return Layout(n_rows, group.shard_rows, max_keypoints, width, str(descriptors.dtype))


def shards_of(folder: Path) -> list[tuple[int, int]]:
    """(start, stop) of the rows of every shard of an existing group."""
    return layout_of(_opened(folder)).shards()


def crop_ids_of(folder: Path) -> list[str]:
    """The crop of every row."""
    return [str(crop_id) for crop_id in _opened(folder).attrs["crop_ids"]]


def whole_shards(folder: Path) -> set[int]:
    """Starts of the shards that have a mark and whose content is what the mark says."""
    group = _opened(folder)
    return {start for start, stop in layout_of(group).shards() if _is_whole(folder, group, start, stop)}


def complete(folder: Path, lost: Mapping[str, str]) -> dict[str, str]:
    """Gather the marks of the shards into ``_COMPLETE.json``, and remove them and what killed workers have left.

    Args:
        folder: The group.
        lost: Reason by crop_id of the rows of shards that nobody wrote.

    Returns:
        Reason by crop_id of all rows that hold nothing because something went wrong.

    Raises:
        DamagedError: A mark is not what was written. It is set aside, so that its shard is computed again.
    """
    marks = gathered(folder, shards_of(folder), ABOUT.keys())
    failed = dict(
        sorted({**lost, **{key: reason for mark in marks for key, reason in mark.pop("failed").items()}}.items())
    )
    description = {name: _file_digest(folder / name) for name in _description()}
    for left_over in folder.rglob(".*.tmp"):
        left_over.unlink(missing_ok=True)
    content = {"version": VERSION, "shards": marks, "failed": failed, "description": description}
    write_json(folder / COMPLETE, content, indent=1)
    shutil.rmtree(marks_of(folder), ignore_errors=True)
    return failed


def is_complete(folder: Path) -> bool:
    """Whether every shard of the batch was written."""
    return (folder / COMPLETE).exists()


def completion(folder: Path) -> dict[str, Any]:
    """What the completion mark says: digests of all shards, and why rows hold nothing.

    Raises:
        DamagedError: It is not what was written.
        FileNotFoundError: The batch is not complete.
    """
    return read_json(folder / COMPLETE)


def failed_rows(folder: Path) -> dict[str, str]:
    """Reason by crop_id of the rows of a complete batch that hold nothing because something went wrong."""
    failed: dict[str, str] = completion(folder)["failed"]
    return failed


def remove(folder: Path) -> None:
    """Delete a batch; its completion mark goes first."""
    (folder / COMPLETE).unlink(missing_ok=True)
    for path in (folder, marks_of(folder)):
        if path.exists():
            shutil.rmtree(path)


def open_complete(folder: Path) -> Group:
    """Open a batch for reading.

    Raises:
        DamagedError: It is missing, not whole, or not what was written.
        WorkspaceError: It was written by a newer version.
    """
    try:
        said = completion(folder)
        for name, sha256 in said.get("description", {}).items():
            if _file_digest(folder / name) != sha256:
                raise DamagedError(folder / name, DIFFERS)
        version = int(attributes_of(folder)["version"])
        if version > VERSION:  # before anything that it may store otherwise
            raise WorkspaceError(f"{folder} was written by a newer Resight (version {version}); update Resight.")
        group = _opened(folder)
        layout_of(group)
    except FileNotFoundError as error:
        is_mark = Path(error.filename or "").name == COMPLETE  # it may be there by now, if somebody finishes the batch
        raise DamagedError(folder, NOT_WHOLE if is_mark or not is_complete(folder) else f"{error} is missing") from None
    except (ValueError, LookupError, TypeError) as error:
        raise DamagedError(folder, f"{type(error).__name__}: {error}"[:200]) from None
    return group


def _opened(folder: Path) -> Group:
    return Group.at(folder, ABOUT)


def digest(values: np.ndarray) -> str:
    """SHA-256 of the raw bytes."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def row_digests(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Of each row the first `ROW_DIGITS` hex digits of the SHA-256 of its raw bytes in all arrays, so that a row can be read alone."""
    digests = []
    for row in range(len(arrays["n_keypoints"])):
        sha256 = hashlib.sha256()
        for name in ABOUT:
            sha256.update(np.ascontiguousarray(arrays[name][row : row + 1]).data)
        digests.append(sha256.hexdigest()[:ROW_DIGITS])
    return digests


def _is_whole(folder: Path, group: Group, start: int, stop: int) -> bool:
    mark = read_mark(mark_path(folder, start), (start, stop), ABOUT.keys())
    if mark is None:
        return False
    try:
        digests = {name: digest(values) for name, values in group.rows(start, stop, ABOUT).items()}
    except ValueError:  # a damaged shard
        return False
    return bool(mark["sha256"] == digests)


def _description() -> list[str]:
    """Files that say what the arrays are."""
    return ["zarr.json", *(f"{name}/zarr.json" for name in ABOUT)]


def chunk_path(folder: Path, name: str, start: int) -> Path:
    """Where the values of an array lie that belong to the shard that begins with this row."""
    return folder / name / "c" / str(start // _opened(folder).shard_rows)


def _file_digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
