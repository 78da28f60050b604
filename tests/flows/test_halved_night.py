"""A night with ``match.halving`` set: its pairs add up, and the next night computes nothing."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from flow_helpers import SMALL
from kornia.feature import LightGlue
from safetensors.torch import save_file

from resight.flows.nightly import run_nightly
from resight.run.calibration import used_by
from resight.store.runs import read_current, read_run, run_record
from resight.store.tables import read_table
from resight.store.workspace import Workspace


def checkpoint(path: Path) -> str:
    """Random weights for SIFT with confident heads at both layers."""
    torch.manual_seed(0)
    model = LightGlue(None, input_dim=128, descriptor_dim=32, n_layers=2, num_heads=2, add_scale_ori=True)
    confident = {k: v * (8 if k.endswith("final_proj.weight") else 1) for k, v in model.state_dict().items()}
    save_file(confident, path)
    return str(path)


def test_a_halved_night_adds_up_and_is_done_once(field_workspace: Workspace, tmp_path: Path) -> None:
    part = {"kind": "lightglue", "weights": checkpoint(tmp_path / "sift_small.safetensors"), "halving": [[1, 0.5]],
            "verify": {"model": "none"}}  # fmt: skip

    def night(date: str) -> dict[str, Any]:
        return run_nightly(field_workspace.root, date, SMALL | {"match": part, "score": {"name": "mean"}}, quiet=True)

    first = night("2026-06-04")
    pairs = read_current(field_workspace, "pairs")
    assert pairs is not None
    rows = pairs.select(
        ["query_crop_id", "gallery_crop_id", "purpose", "status", "reason", "confidence_sum"]
    ).to_pylist()
    record = run_record(read_run(field_workspace, first["run_id"], "runs"))
    calibrating = used_by(field_workspace, record)
    assert calibrating is not None
    rows += calibrating.pairs.select([*rows[0]]).to_pylist()
    scored = {frozenset((r["query_crop_id"], r["gallery_crop_id"])) for r in rows if r["status"] == "scored"}
    halved = [r for r in rows if (r["status"], r["reason"]) == ("not_shortlisted", "halved")]
    assert first["work"]["pairs_matched"] == len(scored)
    unknown = [r for r in rows if r["purpose"] == "cluster"]
    left_out = read_current(field_workspace, "pairs_left_out")
    assert left_out is not None
    kept_out = read_table(calibrating.folder / "pairs_left_out.parquet", "pairs_left_out")
    left_out = pa.concat_tables([left_out, kept_out])
    assert {(r["status"], r["reason"]) for r in left_out.to_pylist()} >= {("excluded_by_policy", "viewpoint")}

    def beside(*purposes: str) -> Counter[str]:
        counts: Counter[str] = Counter()
        for r in left_out.to_pylist():
            counts.update({r["status"]: r["n_left_out"]} if r["purpose"] in purposes else {})
        return counts

    assert first["counts"]["cluster"]["out"] == dict(Counter(r["status"] for r in unknown) + beside("cluster"))
    rows = [r for r in rows if r["purpose"] != "cluster"]
    assert len(halved) > 0 and all(r["confidence_sum"] is None for r in halved)
    every = Counter(r["status"] for r in rows) + beside("identify", "calibrate")
    counts = first["counts"]
    assert Counter(counts["match"]["out"]) + Counter(counts["calibration"]["out"]) == every
    assert (
        sum(counts["shortlist"]["out"].values()) == every.total() == counts["match"]["in"] + counts["calibration"]["in"]
    )
    again = night("2026-06-05")
    assert again["run_id"] == first["run_id"]
    assert set(again["work"].values()) == {0}
