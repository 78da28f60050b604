"""Batches of crops on their way into a store: new ones, and what a killed run left."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from resight.environment import Environment
from resight.errors import DamagedError
from resight.extract import store
from resight.extract.block import ExtractBlock, built, extract_block
from resight.extract.damage import UNREADABLE, keypoint_counts
from resight.extract.joining import join_small
from resight.extract.marks import AGAIN, mark_path
from resight.extract.params import ExtractorBase
from resight.extract.places import INDEX, INDEX_SCHEMA, Index
from resight.store.damage import set_aside
from resight.store.fingerprint import digest_ids
from resight.store.listing import matching
from resight.store.parts import write_part

# Keeps the list of crop ids in a group's attributes small.
BATCH_ROWS = 4096
# Small nights get smaller shards, so that all workers have work and a bar that moves.
SHARDS_PER_WORKER = 2


@dataclass(frozen=True)
class Outcome:
    """What a batch gave: crops computed, reason by crop_id of those that failed, crops whose block never came back."""

    n_computed: int
    failed: dict[str, str]
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batches:
    """All batches of one extractor under one fingerprint."""

    env: Environment
    extractor: ExtractorBase
    fingerprint: str

    @property
    def folder(self) -> Path:
        return self.env.workspace.stage_dir("extract", self.fingerprint)

    def index(self) -> Index:
        """Where every crop lies that is done."""
        return Index.read(self.folder, self.env.workspace.root)

    def compute(self, paths: dict[str, str], taken: Collection[str]) -> Outcome:
        """Compute the crops of ``paths`` (path by crop_id), new batches under names that are not ``taken``.

        Batches that a killed run left come first. Crops whose block took its worker with it are tried once more, one to
        a block, so that one of them cannot cost the others their features.
        """
        first = self._run(self._pending(paths, taken), paths)
        again = [self._create(ids, 1, taken) for ids in _chunks(sorted(first.lost))]
        second = self._run(again, paths)
        failed = {key: reason for key, reason in first.failed.items() if key not in first.lost} | second.failed
        return Outcome(first.n_computed + second.n_computed, failed)

    def adopt(self) -> Index:
        """Put whole batches into the index that are not there: a run was killed just before it did so, or a part is damaged."""
        index = self.index()
        complete = [group for group in self._groups() if store.is_complete(group)]
        waiting = [group for group in complete if self.env.workspace.relative(group) not in index.stores]
        for group in waiting:
            with suppress(DamagedError):  # it waits to be finished now
                self._write_index(group)
        return self.index() if waiting else index

    def join(self) -> None:
        """Put small batches together, once the new ones are there; one that is damaged waits to be finished then."""
        join_small(self.folder, self.env.workspace.root)

    def _pending(self, paths: dict[str, str], taken: Collection[str]) -> list[Path]:
        """Unfinished batches that are still asked for, then new ones; other unfinished ones are removed."""
        pending = []
        todo = set(paths)
        for group in self._groups():
            if store.is_complete(group):
                continue
            missing, ids = _missing(group)
            if ids and missing <= todo:
                pending.append(group)
                todo -= ids
            else:
                store.remove(group)
        shard_rows = (
            min(store.SHARD_ROWS, -(-len(todo) // (SHARDS_PER_WORKER * self.env.runner.n_workers))) if todo else 1
        )
        return pending + [self._create(ids, shard_rows, taken) for ids in _chunks(sorted(todo))]

    def _run(self, groups: Sequence[Path], paths: dict[str, str]) -> Outcome:
        outcomes = [self._fill(group, paths) for group in groups]
        failed = {key: reason for outcome in outcomes for key, reason in outcome.failed.items()}
        lost = tuple(crop_id for outcome in outcomes for crop_id in outcome.lost)
        return Outcome(sum(outcome.n_computed for outcome in outcomes), failed, lost)

    def _create(self, ids: Sequence[str], shard_rows: int, taken: Collection[str]) -> Path:
        """A new batch at full size, under a name that is not taken. The extractor is built here too: a missing file stops the run before any work."""
        extractor = built(self.extractor, self.env.weights, "cpu")
        group = self.folder / f"{digest_ids(ids)}.zarr"
        while self.env.workspace.relative(group) in taken:
            group = self.folder / f"{digest_ids([group.stem, *ids])}.zarr"
        store.remove(group)
        layout = store.Layout(
            len(ids), shard_rows, extractor.max_keypoints, extractor.descriptor_dim, extractor.descriptor_dtype
        )
        about = {
            "family": extractor.family,
            "extract_fingerprint": self.fingerprint,
            "extractor": self.extractor.model_dump(mode="json"),
            "conventions": "rows are crops in the order of crop_ids; only the first n_keypoints entries of a row are real",
        }
        store.create(group, layout, ids, about)
        return group

    def _fill(self, group: Path, paths: dict[str, str]) -> Outcome:
        blocks = list(self._blocks(group, paths))
        results, failures = self.env.runner.run(
            "extract",
            extract_block,
            blocks,
            size=lambda block: len(block.crops),
            unit="crops",
            gpu=self.env.device == "cuda",
        )
        lost = {crop_id: failure.reason for failure in failures for crop_id, _ in failure.block.crops}
        n_computed = sum(len(block.crops) - len(failed) for block, failed in results)
        failed = store.complete(group, lost)
        if len(failed) == len(store.crop_ids_of(group)):
            store.remove(group)
        else:
            self._write_index(group)
        return Outcome(n_computed, failed, tuple(lost))

    def _blocks(self, group: Path, paths: dict[str, str]) -> Iterator[ExtractBlock]:
        """A block for every shard that is not there yet."""
        ids, whole = store.crop_ids_of(group), store.whole_shards(group)
        for start, stop in store.shards_of(group):
            if start not in whole:
                # Its old mark would stand for rows that a lost block never writes.
                mark_path(group, start).unlink(missing_ok=True)
                crops = tuple((crop_id, paths[crop_id]) for crop_id in ids[start:stop])
                name, env = self.env.workspace.relative(group), self.env
                yield ExtractBlock(env.workspace, name, start, crops, self.extractor, env.weights, env.device)

    def _write_index(self, group: Path) -> None:
        try:
            failed = store.failed_rows(group)
        except DamagedError as damage:
            set_aside(DamagedError(group, damage.why), AGAIN)
            raise
        name = self.env.workspace.relative(group)
        counts = keypoint_counts(group)
        rows = [
            {"crop_id": crop_id, "n_keypoints": None if crop_id in failed else n, "store": name, "store_row": row}
            for row, (crop_id, n) in enumerate(zip(store.crop_ids_of(group), counts, strict=True))
        ]
        write_part(self.folder / INDEX, group.stem, pa.Table.from_pylist(rows, schema=INDEX_SCHEMA))

    def _groups(self) -> list[Path]:
        for half_made in matching(self.folder, ".*.zarr.*.tmp"):
            shutil.rmtree(half_made)
        return matching(self.folder, "[!.]*.zarr")


def _missing(group: Path) -> tuple[set[str], set[str]]:
    """Crops of an unfinished batch whose shards are not there, and all its crops; none where it cannot be read."""
    try:
        ids, whole = store.crop_ids_of(group), store.whole_shards(group)
        gone = {crop_id for start, stop in store.shards_of(group) if start not in whole for crop_id in ids[start:stop]}
    except (*UNREADABLE, FileNotFoundError):
        return set(), set()
    return gone, set(ids)


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), BATCH_ROWS):
        yield ids[start : start + BATCH_ROWS]
