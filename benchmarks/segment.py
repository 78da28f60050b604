"""How good the head finder is on animals that it has never seen: cross-validated by individual, then end to end.

    python benchmarks/segment.py --data ../shared/data --out build/segment [--end-to-end] [-- settings of resight evaluate]

Fold models are trained where ``--out`` does not have them yet. Findings, tables and the folders for the end-to-end comparison are
left in ``--out``.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from resight.segment.learned.finder import Finding, HeadFinder
from resight.segment.learned.weights import from_tensors
from resight.segment.params import HeadFinderParams
from resight.settings import parse_assignments
from resight.train.segmenter.confidence import fit
from resight.train.segmenter.folds import Folds
from resight.train.segmenter.judge import FOUND_IOU, Judged, as_rows, confusion, judge, table
from resight.train.segmenter.recipe import Material, Recipe, load_material, train, write_weights
from resight.train.segmenter.samples import Sample, read_samples
from resight.weights.loading import load_tensors

SETS = ("zakynthos", "bonaire")
N_FOLDS = 3
FOLD_STEPS = 1600
SHOWN = (
    "found",
    "median_box_iou",
    "median_mask_iou",
    "median_body_iou",
    "view_right",
    "side_right",
    "upright_within_45_deg",
)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What was found in one photo: the best finding and how good it is, and the evidence of all and which of them are right."""

    judged: Judged
    best: Finding | None
    evidence: list[tuple[float, ...]]
    right: list[bool]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("build/segment"))
    parser.add_argument("--steps", type=int, default=FOLD_STEPS, help="of training in each fold")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--end-to-end", action="store_true", help="also `resight evaluate` with three kinds of crops")
    parser.add_argument("--set", action="append", default=[], help="settings for it, such as extract.kind=xfeat")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    samples = [sample for name in SETS for sample in read_samples(given.data / name)]
    train_folds(samples, given.data, given.out, given.steps, given.device)
    params = HeadFinderParams.model_validate({})
    found = {fold: search(samples, given.out, fold, params) for fold in range(N_FOLDS)}
    report(found, given.out, params)
    known = [a for fold, answers in found.items() for a in answers if fold or a.judged.source != "bonaire"]
    coefficients = fit([e for a in known for e in a.evidence], [r for a in known for r in a.right])
    print("intercept and coefficients of the confidence, fitted anew:", coefficients)
    if given.end_to_end:
        end_to_end(samples, found, given.data, given.out, params, given.set)


def train_folds(samples: Sequence[Sample], data: Path, out: Path, steps: int, device: str) -> None:
    """Weights of the folds that ``out`` does not have."""
    missing = [fold for fold in range(N_FOLDS) if not (out / f"fold{fold}.safetensors").exists()]
    if not missing:
        return
    recipe = Recipe()
    material: Material = load_material([data / name for name in SETS], recipe)
    folds = Folds(samples, N_FOLDS)
    for fold in missing:
        plan = dataclasses.replace(recipe.plan, steps=steps)
        seen = material.without(lambda sample, fold=fold: folds.tests(sample, fold))
        net = train(seen, dataclasses.replace(recipe, seed=fold + 1, plan=plan), device)
        write_weights(out / f"fold{fold}.safetensors", net)


def search(samples: Sequence[Sample], out: Path, fold: int, params: HeadFinderParams) -> list[Answer]:
    """What the fold's model finds in the photos that it was not trained on."""
    folds = Folds(samples, N_FOLDS)
    finder = HeadFinder(params, from_tensors(load_tensors(out / f"fold{fold}.safetensors")))
    answers = []
    for sample in samples:
        if folds.tests(sample, fold):
            began = time.perf_counter()
            findings, _ = finder.look(sample.rgb)
            best = findings[0] if findings else None
            seconds = time.perf_counter() - began
            right = [judge(sample, one).box_iou >= FOUND_IOU for one in findings]
            answers.append(Answer(judge(sample, best, seconds), best, [one.evidence for one in findings], right))
    return answers


def report(found: dict[int, list[Answer]], out: Path, params: HeadFinderParams) -> None:
    """Tables on the terminal, everything as JSON."""
    judged = {fold: [one.judged for one in answers] for fold, answers in found.items()}
    parts = {
        "zakynthos, no animal in training and test": [j for js in judged.values() for j in js if j.source != "bonaire"],
        "bonaire, the species never seen": [j for j in judged[0] if j.source == "bonaire"],
        "bonaire, the animal never seen": [j for k, js in judged.items() if k for j in js if j.source == "bonaire"],
    }
    result: dict[str, Any] = {}
    for title, members in parts.items():
        rows = table(members, params.min_confidence)
        result[title] = {"table": rows, "confusion": confusion(members), "photos": as_rows(members)}
        print(f"\n{title}\n{'':34}{'n':>5}" + "".join(f"{name[:15]:>17}" for name in SHOWN))
        for row in rows:
            cells = "".join(f"{row[name]:17.3f}" if row[name] is not None else f"{'':17}" for name in SHOWN)
            print(f"{row['group']:34}{row['heads']:5}{cells}")
        print(
            "confusion (true: found)",
            {view: {k: n for k, n in row.items() if n} for view, row in confusion(members).items()},
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / "segment.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def end_to_end(
    samples: Sequence[Sample],
    found: dict[int, list[Answer]],
    data: Path,
    out: Path,
    params: HeadFinderParams,
    settings: Sequence[str],
) -> dict[str, Any]:
    """Top-1 of `resight evaluate` on the outlined photos of zakynthos: crops by hand, by the fold models, and none."""
    from resight.flows.evaluation import run_evaluate

    best = {a.judged.name: a.best for answers in found.values() for a in answers if a.judged.source == "zakynthos"}
    mine = [sample for sample in samples if sample.source == "zakynthos"]
    measured = {}
    for kind, segment in (("by hand", "annotations"), ("automatic", "annotations"), ("whole", "whole")):
        folder = out / f"crops {kind}"
        write_folder(folder, data / "zakynthos", mine, best if kind == "automatic" else None, params)
        overrides = parse_assignments([f"segment.kind={segment}", *settings])
        result = run_evaluate(folder, out / f"workspace {kind}", overrides, quiet=True)
        measured[kind] = result.get("metrics")
        print(kind, json.dumps(measured[kind], default=str), flush=True)
    return measured


def write_folder(
    folder: Path,
    source: Path,
    samples: Sequence[Sample],
    found: dict[str, Finding | None] | None,
    params: HeadFinderParams,
) -> None:
    """The outlined photos (links), their labels, and outlines: those of ``source``, or the ones that were found."""
    shutil.rmtree(folder, ignore_errors=True)
    content = json.loads((source / "annotations.coco.json").read_text(encoding="utf-8"))
    names = {sample.name for sample in samples}
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to((source / name).resolve())
    if found is not None:
        content["annotations"] = _outlines(content, found, params)
    (folder / "annotations.coco.json").write_text(json.dumps(content), encoding="utf-8")
    with open(source / "metadata.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["file"] in names]
    with open(folder / "metadata.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file, [name for name in rows[0] if found is None or name != "viewpoint"], extrasaction="ignore"
        )
        writer.writeheader()
        writer.writerows(rows)


def _outlines(
    content: dict[str, Any], found: dict[str, Finding | None], params: HeadFinderParams
) -> list[dict[str, Any]]:
    """Findings as COCO annotations; the images' views become the ones that were found."""
    annotations = []
    for image in content["images"]:
        finding = found[image["file_name"]]
        image["viewpoint"] = ""
        if finding is None or finding.confidence < params.min_confidence:
            continue
        view, chance = finding.viewpoint
        image["viewpoint"] = view if chance >= params.min_view_confidence else ""
        outlines = [[coordinate for point in polygon for coordinate in point] for polygon in finding.polygons_xy_px]
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": image["id"],
                "category_id": 1,
                "bbox": list(finding.bbox_xywh_px),
                "area": finding.bbox_xywh_px[2] * finding.bbox_xywh_px[3],
                "iscrowd": 0,
                "segmentation": outlines,
            }
        )
    return annotations


if __name__ == "__main__":
    main()
