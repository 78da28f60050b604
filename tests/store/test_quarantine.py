"""The log of what was set aside: whole lines say when, and a line that was cut hides nothing."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from resight.errors import DamagedError
from resight.store.damage import LOG_FILE, QUARANTINE, fresh_records, is_set_aside_since, set_aside, watch

HOUR = timedelta(hours=1)


def damaged(store: Path, name: str) -> DamagedError:
    file = store / "match" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"junk")
    return DamagedError(file, "no table")


def test_it_is_known_whether_anything_was_set_aside_since_a_moment(tmp_path: Path) -> None:
    store, now = tmp_path / "store", datetime.now(UTC)
    assert not is_set_aside_since(store, now - HOUR)
    set_aside(damaged(store, "a.parquet"))
    assert is_set_aside_since(store, now - HOUR) and not is_set_aside_since(store, now + HOUR)


def test_a_line_that_was_cut_stops_nothing_and_hides_nothing(tmp_path: Path) -> None:
    store, now = tmp_path / "store", datetime.now(UTC)
    set_aside(damaged(store, "a.parquet"))
    log = store / QUARANTINE / LOG_FILE
    log.write_bytes(log.read_bytes()[:20])
    assert is_set_aside_since(store, now - HOUR), "nobody knows of what the line was"
    os.utime(log, ((now - 2 * HOUR).timestamp(),) * 2)
    assert not is_set_aside_since(store, now - HOUR), "nothing was added since"
    watch(store)
    fresh_records(store)
    set_aside(damaged(store, "b.parquet"))
    assert [record.path for record in fresh_records(store)] == ["store/match/b.parquet"]
    assert is_set_aside_since(store, now - HOUR)
