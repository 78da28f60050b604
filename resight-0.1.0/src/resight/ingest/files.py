"""Which files are known and which have to be looked at; afterwards, the content of every file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from resight.environment import Environment
from resight.ingest.block import PART_SCHEMA, Block, BlockResult, Job, Row, part_name, run_block
from resight.ingest.decode import DECODE_REVISION, Limits
from resight.ingest.params import IngestParams
from resight.ingest.sources import PhotoFile
from resight.ingest.versions import time_in
from resight.runner.runner import Failure, Runner
from resight.store.fingerprint import fingerprint
from resight.store.parts import compact, read_parts, write_part
from resight.store.runs import read_current
from resight.store.workspace import Workspace

ROW_KEY = ("uri", "size_bytes", "version", "sha256", "decoded", "first_night")
Key = tuple[str, int, str]
PHOTOS_PER_TASK = 32  # some seconds of work: less is all overhead, more is lost when a worker dies


@dataclass(frozen=True)
class Contents:
    """What is in the files.

    Attributes:
        digest: SHA-256 by uri; files that could not be read are not there.
        facts: Row of the part files (see `block`) by SHA-256, with the night that first saw the content.
        unreadable: Why, by uri.
        n_decoded: Pictures opened in this call.
    """

    digest: Mapping[str, str]
    facts: Mapping[str, Row]
    unreadable: Mapping[str, str]
    n_decoded: int


def ingest_fingerprint(params: IngestParams) -> str:
    """Name of what is known about the contents of files under these limits."""
    return fingerprint("ingest", DECODE_REVISION, vars(_limits(params)))


def read_contents(
    env: Environment, params: IngestParams, name: str, files: Sequence[PhotoFile], night: str
) -> Contents:
    """Look at the files that are new or changed; what a run that was killed had done is not done again.

    Args:
        env: Keeps what is known, and runs the blocks.
        params: Limits of a photo.
        name: From `ingest_fingerprint`.
        files: Files of the sources.
        night: ISO date, kept for contents that were never seen before.
    """
    limits = _limits(params)
    folder = env.workspace.stage_dir("ingest", name)
    cache = _Cache(folder)
    if _keep_full_versions(folder, cache, files):
        cache = _Cache(folder)
    blocks = _blocks(files, cache, Block(folder, limits, night, ()))
    results, unreadable = _run(env.runner, blocks)
    if blocks:
        compact(folder, PART_SCHEMA, ROW_KEY)
        cache = _Cache(folder)
    digest = {f.uri: cache.digest[_key(f)] for f in files if _key(f) in cache.digest and f.uri not in unreadable}
    digest |= {uri: sha for result in results for uri, sha in result.unversioned}
    nights, told = _first_nights(folder), _nights_of_current(env.workspace)
    facts = {
        sha: cache.facts[sha] | {"first_night": min(nights[sha], told.get(sha, nights[sha]))}
        for sha in set(digest.values())
    }
    return Contents(digest, facts, unreadable, sum(r.n_decoded for r in results))


def _limits(params: IngestParams) -> Limits:
    return Limits(params.max_side_px, params.max_megapixels, params.min_side_px)


class _Cache:
    """The part files of one fingerprint."""

    def __init__(self, folder: Path) -> None:
        rows = read_parts(folder, PART_SCHEMA).to_pylist()
        self.facts: dict[str, Row] = {row["sha256"]: row for row in reversed(rows) if row["decoded"]}
        whole = (row for row in rows if row["version"] and row["sha256"] in self.facts)
        self.digest = {(row["uri"], row["size_bytes"], row["version"]): row["sha256"] for row in whole}
        self._full = {
            (uri, size, time_in(version)) for uri, size, version in self.digest if time_in(version) != version
        }

    def digest_of_time(self, file: PhotoFile) -> str | None:
        """Of a file that was only ever seen by a release that took the time of change as its version."""
        key = file.uri, file.size_bytes, time_in(file.version)
        return None if key in self._full else self.digest.get(key)

    def by_size(self) -> dict[int, tuple[str, ...]]:
        sizes = defaultdict(list)
        for sha, row in self.facts.items():
            sizes[row["size_bytes"]].append(sha)
        return {size: tuple(sorted(shas)) for size, shas in sizes.items()}


def _keep_full_versions(folder: Path, cache: _Cache, files: Sequence[PhotoFile]) -> bool:
    """Write down the full versions of files that an older release has seen, so that from now on every change shows."""
    rows: list[Row] = [
        {"uri": file.uri, "size_bytes": file.size_bytes, "version": file.version, "sha256": sha256, "decoded": False}
        for file in files
        if _key(file) not in cache.digest and (sha256 := cache.digest_of_time(file))
    ]
    if rows:
        write_part(folder, f"{part_name(rows)}-versions", pa.Table.from_pylist(rows, schema=PART_SCHEMA))
    return bool(rows)


def _key(file: PhotoFile) -> Key:
    return file.uri, file.size_bytes, file.version


def _blocks(files: Sequence[PhotoFile], cache: _Cache, empty: Block) -> list[Block]:
    """Files whose version is known are left out. Equal contents have equal sizes, so they are sorted into one block."""
    of_size = cache.by_size()
    new = sorted((f for f in files if _key(f) not in cache.digest), key=lambda f: (f.size_bytes, f.uri))
    blocks: list[list[Job]] = []
    for file in new:
        job = Job(file, of_size.get(file.size_bytes, ()))
        full = not blocks or len(blocks[-1]) >= PHOTOS_PER_TASK
        same_size = (
            bool(blocks) and blocks[-1][-1].file.size_bytes == file.size_bytes and len(blocks[-1]) < 2 * PHOTOS_PER_TASK
        )
        if full and not same_size:
            blocks.append([])
        blocks[-1].append(job)
    return [Block(empty.folder, empty.limits, empty.night, tuple(jobs)) for jobs in blocks]


def _run(runner: Runner, blocks: list[Block]) -> tuple[list[BlockResult], dict[str, str]]:
    """Run the blocks; those that were lost (a worker died) again file by file, so that only the culprit is given up."""
    results, failures = _fan_out(runner, blocks)
    single = [Block(b.folder, b.limits, b.night, (job,)) for b in (f.block for f in failures) for job in b.jobs]
    again, lost = _fan_out(runner, single)
    results += again
    unreadable = {uri: why for result in results for uri, why in result.unreadable}
    return results, unreadable | {f.block.jobs[0].file.uri: f.reason for f in lost}


def _fan_out(runner: Runner, blocks: list[Block]) -> tuple[list[BlockResult], list[Failure]]:
    done, failures = runner.run("ingest", run_block, blocks, size=lambda block: len(block.jobs), unit="photos")
    return [result for _, result in done], failures


def _first_nights(folder: Path) -> dict[str, str]:
    """Earliest night by SHA-256, under whatever limits the photo was looked at then."""
    nights: dict[str, str] = {}
    for sibling in sorted(folder.parent.iterdir()):
        for sha, night in _nights_in(sibling):
            nights[sha] = min(night, nights.get(sha, night))
    return nights


def _nights_of_current(workspace: Workspace) -> dict[str, str]:
    """First night by SHA-256 in the newest accepted run, which still knows it when a part is lost."""
    photos = read_current(workspace, "photos")
    rows = [] if photos is None else photos.select(["sha256", "first_night"]).to_pylist()
    return {row["sha256"]: row["first_night"].isoformat() for row in rows if row["sha256"]}


def _nights_in(folder: Path) -> Iterable[tuple[str, str]]:
    rows = read_parts(folder, PART_SCHEMA, ["sha256", "first_night"]).to_pylist()
    return ((row["sha256"], row["first_night"]) for row in rows if row["first_night"])
