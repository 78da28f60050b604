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

import cv2
import numpy as np
import torch
from finding_measures import FOUND_IOU, Folds, Judged, confusion, fit_confidence, judge, table

from resight.segment.kinds.head_finder import HeadFinderParams
from resight.segment.learned.finder import Finding, HeadFinder, confidence_of
from resight.segment.learned.weights import from_tensors
from resight.settings import parse_assignments
from resight.store.parts import write_bytes
from resight.train.segmenter.recipe import Material, Recipe, load_material, train_head_finder, weights_of
from resight.train.segmenter.samples import OutlinedPhoto, read_samples
from resight.weights.loading import load_tensors

SETS = ("zakynthos", "bonaire")
N_FOLDS = 3
FOLD_STEPS = 6000
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
    """All that was found in one photo, and how good each finding is; ``judged`` has one member more than ``findings`` where
    there are none."""

    sample: OutlinedPhoto
    findings: list[Finding]
    judged: list[Judged]

    @property
    def best(self) -> tuple[Judged, Finding | None]:
        """The surest finding."""
        if not self.findings:
            return self.judged[0], None
        k = max(range(len(self.findings)), key=lambda k: self.findings[k].confidence)
        return self.judged[k], self.findings[k]

    def weighed(self, coefficients: tuple[float, tuple[float, ...]]) -> Answer:
        """The same with the confidence of other coefficients."""
        chances = [confidence_of(one.evidence, *coefficients) for one in self.findings]
        findings = [dataclasses.replace(f, confidence=c) for f, c in zip(self.findings, chances, strict=True)]
        judged = [dataclasses.replace(j, confidence=c) for j, c in zip(self.judged, chances, strict=False)]
        return Answer(self.sample, findings, judged if findings else self.judged)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("build/segment"))
    parser.add_argument("--steps", type=int, default=FOLD_STEPS, help="of training in each fold")
    parser.add_argument("--minutes", type=float, default=0, help="of training in each fold, at most; 0 for no limit")
    parser.add_argument(
        "--folds", type=int, nargs="+", default=range(N_FOLDS), help="folds to train where they are missing"
    )
    parser.add_argument("--train-only", action="store_true", help="leave it at that")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--worst", type=int, default=30, help="photos in worst.jpg: true outlines and found ones")
    parser.add_argument("--end-to-end", action="store_true", help="also `resight evaluate` with three kinds of crops")
    parser.add_argument("--set", action="append", default=[], help="settings for it, such as extract.kind=xfeat")
    given = parser.parse_args()
    given.data = given.data.resolve()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    samples = [sample for name in SETS for sample in read_samples(given.data / name)]
    train_folds(samples, given.data, given.out, given.steps, given.device, given.minutes, given.folds)
    if given.train_only:
        return
    params = HeadFinderParams.model_validate({})
    found = {fold: search(samples, given.out, fold, params) for fold in range(N_FOLDS)}
    print("intercept and coefficients of the confidence, fitted on all folds:", coefficients_from(found, -1))
    found = {fold: [a.weighed(coefficients_from(found, fold)) for a in answers] for fold, answers in found.items()}
    report(found, given.out, params)
    draw_worst(found, given.out / "worst.jpg", given.worst)
    if given.end_to_end:
        end_to_end(samples, found, given.data, given.out, params, given.set)


def train_folds(
    samples: Sequence[OutlinedPhoto],
    data: Path,
    out: Path,
    steps: int,
    device: str,
    minutes: float,
    chosen: Sequence[int],
) -> None:
    """Weights of the ``chosen`` folds that ``out`` does not have; a fold that was killed goes on."""
    missing = [fold for fold in chosen if not (out / f"fold{fold}.safetensors").exists()]
    if not missing:
        return
    recipe = Recipe()
    material: Material = load_material([data / name for name in SETS], recipe)
    folds = Folds(samples, N_FOLDS)
    for fold in missing:
        plan = dataclasses.replace(recipe.plan, steps=steps)
        seen = material.without(lambda sample, fold=fold: folds.tests(sample, fold))
        of_fold = dataclasses.replace(recipe, seed=fold + 1, plan=plan)
        training = train_head_finder(seen, of_fold, device, out / f"fold{fold}.checkpoint", limit_s=60 * minutes)
        write_bytes(out / f"fold{fold}.safetensors", weights_of(training))
        print(f"fold {fold}: {training.step} steps in {training.seconds:.0f} s", flush=True)


def search(samples: Sequence[OutlinedPhoto], out: Path, fold: int, params: HeadFinderParams) -> list[Answer]:
    """What the fold's model finds in the photos that it was not trained on."""
    folds = Folds(samples, N_FOLDS)
    finder = HeadFinder(params, from_tensors(load_tensors(out / f"fold{fold}.safetensors")))
    answers = []
    for sample in samples:
        if folds.tests(sample, fold):
            began = time.perf_counter()
            findings, _ = finder.look(sample.rgb)
            seconds = time.perf_counter() - began
            judged = [judge(sample, one, seconds) for one in findings or [None]]
            answers.append(Answer(dataclasses.replace(sample, rgb=thumbnail(sample.rgb)), findings, judged))
    return answers


def coefficients_from(found: dict[int, list[Answer]], left_out: int) -> tuple[float, tuple[float, ...]]:
    """The confidence's coefficients, fitted on the findings of the other folds; where the species is new, without it."""
    known = [
        a
        for fold, answers in found.items()
        for a in answers
        if fold != left_out and (a.sample.source != "bonaire" or (fold > 0 and left_out != 0))
    ]
    pairs = [(f.evidence, j.box_iou >= FOUND_IOU) for a in known for f, j in zip(a.findings, a.judged, strict=False)]
    return fit_confidence([evidence for evidence, _ in pairs], [right for _, right in pairs])


def report(found: dict[int, list[Answer]], out: Path, params: HeadFinderParams) -> None:
    """Tables on the terminal, everything as JSON."""
    judged = {fold: [one.best[0] for one in answers] for fold, answers in found.items()}
    parts = {
        "zakynthos, no animal in training and test": [j for js in judged.values() for j in js if j.source != "bonaire"],
        "bonaire, the species never seen": [j for j in judged[0] if j.source == "bonaire"],
        "bonaire, the animal never seen": [j for k, js in judged.items() if k for j in js if j.source == "bonaire"],
    }
    result: dict[str, Any] = {}
    for title, members in parts.items():
        rows = table(members, params.min_confidence)
        result[title] = {
            "table": rows,
            "confusion": confusion(members),
            "photos": [dataclasses.asdict(photo) for photo in members],
        }
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


def thumbnail(rgb: np.ndarray, side_px: int = 400) -> np.ndarray:
    scale = min(1.0, side_px / max(rgb.shape[:2]))
    return cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def draw_worst(found: dict[int, list[Answer]], target: Path, n_photos: int, columns: int = 6) -> None:
    """The photos with the least overlap: true outline in yellow, the surest finding in red, overlap and confidence below it."""
    mine = [a for answers in found.values() for a in answers if len(a.sample.head_xy_px)]
    tiles = [_tile(one) for one in sorted(mine, key=lambda a: a.best[0].box_iou)[:n_photos]]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns) if tiles else []
    rows = [np.hstack(tiles[k : k + columns]) for k in range(0, len(tiles), columns)]
    if rows:
        cv2.imwrite(str(target), np.vstack(rows)[..., ::-1])


def _tile(answer: Answer, side_px: int = 400) -> np.ndarray:
    judged, finding = answer.best
    picture = answer.sample.rgb.copy()
    scale = picture.shape[1] / answer.sample.size_wh_px[0]
    outlines = [(answer.sample.head_xy_px, (255, 255, 0))]
    outlines += [(np.array(p), (255, 40, 40)) for p in finding.polygons_xy_px] if finding else []
    for outline, colour in outlines:
        cv2.polylines(picture, [np.round(outline * scale).astype(np.int32)], True, colour, 2)
    tile = np.zeros((side_px, side_px, 3), np.uint8)
    tile[: picture.shape[0], : picture.shape[1]] = picture
    words = f"{judged.individual_id} {judged.view}>{judged.found_view} {judged.visibility} iou {judged.box_iou:.2f} conf {judged.confidence:.2f}"
    cv2.putText(tile, words, (4, side_px - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return tile


def end_to_end(
    samples: Sequence[OutlinedPhoto],
    found: dict[int, list[Answer]],
    data: Path,
    out: Path,
    params: HeadFinderParams,
    settings: Sequence[str],
) -> dict[str, Any]:
    """Top-1 of `resight evaluate` on the outlined photos of zakynthos: crops by hand, by the fold models, and none."""
    from resight.flows.evaluation import run_evaluate

    best = {a.sample.name: a.best[1] for answers in found.values() for a in answers if a.sample.source == "zakynthos"}
    mine = [sample for sample in samples if sample.source == "zakynthos"]
    measured = {}
    for kind, segment in (("by hand", "annotations"), ("automatic", "annotations"), ("whole", "whole")):
        folder = out / f"crops {kind}"
        write_folder(folder, data / "zakynthos", mine, best if kind == "automatic" else None, params)
        overrides = parse_assignments([f"segment.kind={segment}", *settings])
        workspace = out / f"workspace {kind}"
        workspace.mkdir(parents=True, exist_ok=True)
        result = run_evaluate(folder, workspace, overrides, quiet=True)
        measured[kind] = result.get("metrics")
        print(kind, json.dumps(measured[kind], default=str), flush=True)
    return measured


def write_folder(
    folder: Path,
    source: Path,
    samples: Sequence[OutlinedPhoto],
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
