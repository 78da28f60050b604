"""What happened, as numbers for Prometheus: a file that its node exporter reads (``--collector.textfile.directory``).

Format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from resight.store.attempts import Outcome, read_attempts
from resight.store.durable import write_bytes
from resight.store.generations import current_generation
from resight.store.workspace import Workspace

Sample = tuple[str, Mapping[str, str], float]
HELP = {
    "resight_last_end_seconds": "When the last attempt of a command ended, Unix time.",
    "resight_last_exit_code": "What it ended with.",
    "resight_last_success_seconds": "When the command last ended with exit code 0, Unix time.",
    "resight_last_seconds": "How long the last attempt took.",
    "resight_stage_seconds": "Wall time of each stage of the last attempt.",
    "resight_stage_items": "How the items of each stage of the last attempt ended.",
    "resight_work": "What the last attempt really computed.",
    "resight_pairs_per_second": "Pairs matched by the last attempt that matched some, per second of stage match.",
    "resight_under_way": "Commands that are at work here or wait for their turn.",
    "resight_encounters": "Encounters by verdict, in what is current.",
    "resight_free_bytes": "Free space of the workspace's disk.",
}


def write_metrics(workspace: Workspace, file: Path, site: str) -> None:
    """Write the file in one rename; it holds the last attempt of every command."""
    samples = list(_samples(workspace))
    lines = []
    for name, says in HELP.items():
        of_name = [(labels, value) for sample, labels, value in samples if sample == name]
        if of_name:
            lines += [f"# HELP {name} {says}", f"# TYPE {name} gauge"]
            lines += [f"{name}{_labels({'site': site, **labels})} {round(value, 3):.15g}" for labels, value in of_name]
    write_bytes(file, ("\n".join(lines) + "\n").encode())


def _samples(workspace: Workspace) -> Iterator[Sample]:
    attempts = read_attempts(workspace)
    ended = [row for row in attempts if row["outcome"] != Outcome.UNDER_WAY and row["ended_at"]]
    yield "resight_under_way", {}, sum(row["outcome"] == Outcome.UNDER_WAY for row in attempts)
    for command in sorted({row["command"] for row in ended}):
        of = {"command": command}
        yield from (
            (name, {**of, **labels}, value)
            for name, labels, value in _of_command([r for r in ended if r["command"] == command])
        )
    generation = current_generation(workspace)
    if generation is not None and generation.has("novelty"):
        decisions = generation.table("novelty")["decision"].to_pylist()
        yield from (("resight_encounters", {"verdict": one}, decisions.count(one)) for one in sorted(set(decisions)))
    yield "resight_free_bytes", {}, shutil.disk_usage(workspace.root).free


def _of_command(rows: Sequence[Mapping[str, Any]]) -> Iterator[Sample]:
    last = rows[-1]
    yield "resight_last_end_seconds", {}, _unix(last["ended_at"])
    yield "resight_last_exit_code", {}, last["exit_code"]
    yield "resight_last_seconds", {}, _unix(last["ended_at"]) - _unix(last["began_at"])
    good = [row for row in rows if row["outcome"] == Outcome.DONE]
    if good:
        yield "resight_last_success_seconds", {}, _unix(good[-1]["ended_at"])
    yield from (("resight_stage_seconds", {"stage": stage}, s) for stage, s in last.get("seconds", {}).items())
    yield from (("resight_work", {"what": what}, n) for what, n in last.get("work", {}).items())
    for stage, counts in last.get("counts", {}).items():
        yield from (
            ("resight_stage_items", {"stage": stage, "status": status}, n) for status, n in counts["out"].items()
        )
    matched = [row for row in rows if row.get("work", {}).get("pairs_matched") and row.get("seconds", {}).get("match")]
    if matched:
        yield "resight_pairs_per_second", {}, matched[-1]["work"]["pairs_matched"] / matched[-1]["seconds"]["match"]


def _labels(labels: Mapping[str, str]) -> str:
    escaped = {
        name: value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for name, value in labels.items()
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"


def _unix(when: str) -> float:
    return datetime.fromisoformat(when).timestamp()
