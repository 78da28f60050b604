"""Learning the shipped prior: from labelled runs, and judged without the animal that asks."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from itertools import product
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from resight.catalog import table
from resight.cli.app import app
from resight.errors import SettingsError
from resight.match.base import PairMatch
from resight.match.summary import summarise
from resight.novelty.decide import decide
from resight.novelty.params import NoveltyParams
from resight.score.base import FUSED
from resight.score.fusion import Line, Prior
from resight.score.learn import fit_fusion
from resight.score.null import learn_null
from resight.score.params import ScoreParams
from resight.score.prior import prior_from
from resight.score.stage import distributions, score
from resight.store.table_parts import write_parts
from resight.store.tables import write_table
from resight.train.fusion.judge import judge
from resight.train.fusion.material import LabelledRun, among, by_evidence, read_run_folder, training, with_less_evidence
from resight.train.fusion.recipe import learn_prior, write_prior

ANIMALS = "ABCDEF"
SCHEMA = pa.schema([f.with_nullable(True) for f in table("pairs").schema])


EVIDENCE = ("log_sum", "log_count_05", "log_inliers", "relative_inliers", "relative_sum")


def labelled(seed: int = 1, tell: float = 1.0, sharp: Mapping[str, int] = MappingProxyType({})) -> LabelledRun:
    """Six animals met three times, the last time as query; one photo each, named animal and encounter.

    ``tell``: how far matches of one animal lie above those of two; ``sharp``: matches that photos have more, with every animal.
    """
    rng = np.random.default_rng(seed)
    photos = [f"{a}{e}" for a in ANIMALS for e in range(3)]
    gallery = [p for p in photos if p[1] != "2"]
    rows = []
    for q, g in product(photos, gallery):
        if q == g:
            continue
        same = q[0] == g[0]
        more = sharp.get(q, 0) + sharp.get(g, 0)
        n = int(rng.integers(20, 30) + 15 * tell * same) + more
        confidence = np.clip(rng.beta(1 + 3 * tell * same, 6, n), 1e-3, 1).astype(np.float32)
        index, inside = np.arange(n, dtype=np.int32), np.arange(n) < 4 + 10 * tell * same + rng.integers(3) + more
        row = summarise(PairMatch(index, index, confidence, inside, 90, 90, True), 32)
        row |= {f"n_keypoints_{s}": row.pop(f"n_keypoints_{k}") for s, k in (("query", "a"), ("gallery", "b"))}
        row |= {f"{s}_{what}_id": p for s, p in (("query", q), ("gallery", g)) for what in ("crop", "photo")}
        row |= {"purpose": "identify" if q[1] == "2" else "calibrate", "status": "scored", "reason": ""}
        rows.append(row | {"run_id": "r"})
    pairs = pa.Table.from_pylist(rows, schema=SCHEMA)
    known = {p: p[0] for p in gallery}
    taken = [datetime(2020 + int(p[1]), 6, 1) for p in photos]
    info = {"crop_id": photos, "photo_id": photos, "encounter_id": photos, "taken_at": pa.array(taken, pa.timestamp("us")),
            "individual_id": [known.get(p) for p in photos], "viewpoint": ["left"] * len(photos)}  # fmt: skip
    seen = pa.table({"photo_id": photos, "encounter_id": photos, "individual_id": [p[0] for p in photos]})
    return LabelledRun(
        f"run {seed}", seen, pairs, {p: p[0] for p in photos}, known, pa.table(info), learn_null(pairs, known, 500)
    )


def test_a_prior_rests_on_all_animals_but_the_one_left_out():
    run = labelled()
    whole, without = learn_prior([run]), [learn_prior([run], a) for a in ANIMALS]
    assert whole.features == EVIDENCE
    assert all(c >= 0 for c in whole.line.coefficients) and sum(whole.line.coefficients) > 0.5
    assert len({whole.line, *(w.line for w in without)}) == 7, "every animal taught something"
    alone = training(run, gallery_alone=True)
    assert len(alone.genuine) == 12 * 11 and alone.genuine.sum() == 12, "no pair of a query"
    assert len(training(run, gallery_alone=False).genuine) == 12 * 11 + 6 * 12


def test_what_is_written_is_what_the_fusion_reads(tmp_path):
    runs = [labelled(1), labelled(2)]
    content = write_prior(runs, ["bay", "reef"], tmp_path / "prior.json")
    assert json.loads((tmp_path / "prior.json").read_text()) == content
    read, learned = prior_from(content, EVIDENCE), learn_prior(runs)
    assert read.line.coefficients == pytest.approx(learned.line.coefficients, abs=1e-4)
    one = content["priors"][0]
    assert one["source"] == "labelled photos of bay, reef"
    assert [r["n_individuals"] for r in one["learned_from"]] == [6, 6]
    assert len({r["digest"] for r in one["learned_from"]}) == 1, "the same photos and pairs"


def test_judging_finds_animals_that_can_be_told_apart_and_no_others():
    told = judge(labelled(), [labelled(), labelled(2)], NoveltyParams())
    assert told["n"] == (6, 6) and told["top1_photo"] == told["top1_encounter"] == 1.0
    assert told["novelty_auroc"] > 0.9 and told["ece_encounter"] < 0.2
    blind = judge(labelled(3, tell=0.0), [labelled(3, tell=0.0)], NoveltyParams())
    assert blind["top1_encounter"] < 0.7 and 0.2 < blind["novelty_auroc"] < 0.8 and blind["false_known_rate"] == 0.0


def test_a_stranger_is_judged_as_if_it_had_no_photos_of_its_own_to_compare_others_with(monkeypatch):
    run, others = labelled(1), {True: [], False: []}  # what the other animals score, by whether its own counts
    rows = run.pairs.to_pylist()
    for row in rows:
        if row["purpose"] == "identify" and row["query_photo_id"][0] == row["gallery_photo_id"][0] == "A":
            row |= {"n_inliers": 80, "confidence_sum": row["confidence_sum"] + 40}

    def watched(ranked, *given, deleted=None):
        of_a = [r for r in ranked.to_pylist() if r["query_id"] == "A2" and r["individual_id"] != "A"]
        others[deleted is None].append({(r["level"], r["individual_id"]): r["score"] for r in of_a})
        return decide(ranked, *given, deleted=deleted)

    monkeypatch.setattr("resight.train.fusion.judge.decide", watched)
    for pairs in (run.pairs, pa.Table.from_pylist(rows, schema=run.pairs.schema)):
        judge(replace(run, pairs=pairs), [labelled(2)], NoveltyParams())
    before, after = ([of for of in seen if of] for seen in (others[True], others[False]))
    assert len(before) == len(after) == 2 and len(after[0]) == 10
    assert before[0] != before[1], "its own photos make all others look less alike"
    assert after[0] == after[1], "a stranger has none"


def test_a_photo_that_matches_everybody_is_no_evidence():
    run = labelled(
        4, sharp={"A0": 12, "B1": 18}
    )  # two photos of the gallery; by the number of matches they are everybody's animal
    prior = learn_prior([labelled(5, sharp={"C0": 12, "D1": 18})])
    bare = Prior(
        prior.features, Line(0.0, tuple(float(name == "log_inliers") for name in prior.features)), prior.strength, ""
    )
    right = {}
    for name, used in (("learned", prior), ("bare", bare)):
        gallery = training(run, gallery_alone=True)
        alone = replace(
            gallery, gallery_individuals=np.full(len(gallery.genuine), "nobody")
        )  # no animal met twice: the prior alone
        scores = score(
            run.pairs, run.gallery, ScoreParams(name=FUSED), None, fit_fusion(alone, prior=used), run.null
        ).scores
        rows = sorted(scores.to_pylist(), key=lambda r: r["score"])  # the best of each query last
        best = {r["query_crop_id"]: r["gallery_crop_id"][0] for r in rows if r["purpose"] == "identify"}
        right[name] = sum(query[0] == animal for query, animal in best.items())
    assert right["learned"] == len(ANIMALS) > right["bare"]


def test_verified_runs_teach_a_matcher_without_geometry_too():
    groups = by_evidence(with_less_evidence([labelled(1), labelled(2)]))
    without = ("log_sum", "log_count_05", "relative_sum")
    assert {names: len(runs) for (_, names), runs in groups.items()} == {EVIDENCE: 2, without: 2}
    assert learn_prior(groups["", without]).features == without


def test_each_kind_of_matcher_has_its_own_prior_and_unknown_ones_that_of_all_together(tmp_path):
    sharp, blurred = replace(labelled(1), matcher="lightglue"), replace(labelled(2, tell=0.3), matcher="nearest")
    content = write_prior([sharp, blurred], ["bay"], tmp_path / "prior.json")
    for matcher, runs in (("lightglue", [sharp]), ("nearest", [blurred]), ("another", [sharp, blurred])):
        line = prior_from(content, EVIDENCE, matcher).line
        assert line.coefficients == pytest.approx(learn_prior(runs).line.coefficients, abs=1e-4)


def test_photos_of_other_animals_are_not_even_strangers():
    run = labelled(1)
    some = among(run.pairs, {p for p, name in run.labels.items() if name in "ABC"})
    photos = {*some["query_photo_id"].to_pylist(), *some["gallery_photo_id"].to_pylist()}
    assert {run.labels[p] for p in photos} == {*"ABC"} and some.num_rows == 9 * 6 - 6, (
        "each photo with the six of the gallery"
    )
    assert learn_prior([replace(run, pairs=some)]).line != learn_prior([run]).line


def written(run: LabelledRun, folder: Path, days: Mapping[str, date] = MappingProxyType({})) -> Path:
    """The folder of a run, with one more animal that was compared with nobody; photos were taken years apart, or on ``days``."""
    photos = [*run.photos.to_pylist(), {"photo_id": "Z0", "encounter_id": "Z0", "individual_id": "Z"}]
    years = {r["photo_id"]: date(2020 + int(r["photo_id"][1]), 6, 1) for r in photos}
    photos = [r | {"taken_on": (years | {**days})[r["photo_id"]]} for r in photos]
    crops = [{"crop_id": r["photo_id"], "photo_id": r["photo_id"], "viewpoint": "left"} for r in photos]
    settings = {"match": {"kind": "nearest"}}
    tables = {"photos": photos, "crops": crops, "runs": [{"run_id": "r", "settings": json.dumps(settings)}]}
    for name, rows in tables.items():
        schema = table(name).schema
        columns = {c: pa.array([r.get(c) for r in rows], schema.field(c).type) for c in schema.names}
        write_table(folder, name, pa.table(columns))
    write_parts(folder, "pairs", run.pairs)
    return folder


def test_a_run_folder_is_read_as_it_was_measured(tmp_path):
    run = read_run_folder(written(labelled(1), tmp_path / "run"))
    assert run.matcher == "nearest" and set(run.labels.values()) == {*ANIMALS}, "nobody else took part"
    assert learn_prior([run]).line == learn_prior([replace(labelled(1), null=run.null)]).line
    some = read_run_folder(tmp_path / "run", {"A", "B", "C", "Z"})
    about = write_prior([some], ["bay"], tmp_path / "prior.json")["priors"][0]["learned_from"]
    assert [(one["n_individuals"], one["n_pairs"]) for one in about] == [(3, 48)]


def test_two_photos_of_one_day_teach_nothing_about_one_animal(tmp_path):
    same_day = dict.fromkeys((f"{a}{e}" for a in ANIMALS for e in (0, 1)), date(2021, 6, 1))
    one, other = (read_run_folder(written(labelled(1), tmp_path / n, d)) for n, d in (("a", {}), ("b", same_day)))
    assert one.of_gallery.genuine.sum() == 12 and other.of_gallery.genuine.sum() == 0


def test_runs_that_teach_nothing_are_refused_in_a_sentence(tmp_path):
    run = labelled(1)
    folder = written(run, tmp_path / "run")
    with pytest.raises(SettingsError, match=r"nothing here has no photos.parquet; give the folder of a run"):
        read_run_folder(tmp_path / "nothing here")
    with pytest.raises(SettingsError, match="no photo of the animals to train on asks who it is"):
        read_run_folder(folder, {"Z"})
    with pytest.raises(SettingsError, match="0 pairs of different animals of the gallery of the animals to train on"):
        read_run_folder(folder, {"A"})
    nightly = replace(run, pairs=run.pairs.filter(pc.equal(run.pairs["purpose"], "calibrate")))
    with pytest.raises(SettingsError, match="run: no photo asks who it is"):
        read_run_folder(written(nightly, tmp_path / "other run"))
    strangers = [r | ({"individual_id": "new " + r["individual_id"]} if r["photo_id"][1] == "2" else {}) for r in run.photos.to_pylist()]  # fmt: skip
    unknown = replace(run, photos=pa.Table.from_pylist(strangers, schema=run.photos.schema))
    with pytest.raises(SettingsError, match="run: no photo asks who it is and shows an animal of the gallery"):
        read_run_folder(written(unknown, tmp_path / "strangers' run"))
    alone = replace(run, pairs=run.pairs.filter(pc.equal(run.pairs["purpose"], "identify")))
    with pytest.raises(SettingsError, match="has 0 pairs of different animals of the gallery, fewer than 10"):
        read_run_folder(written(alone, tmp_path / "third run"))


def test_one_animal_alone_cannot_be_judged():
    run = labelled(1)
    again = [r for r in run.pairs.to_pylist() if not r["query_photo_id"][0] == r["gallery_photo_id"][0] != "A"]
    one = replace(run, pairs=pa.Table.from_pylist(again, schema=run.pairs.schema))
    with pytest.raises(SettingsError, match=r"run 1: only A was met again, .* give runs on 2 animals or more"):
        judge(one, [one], NoveltyParams())
    assert judge(one, [one, labelled(2)], NoveltyParams())["n"] == (6, 6), "others may stand in other runs"


def test_the_evidence_of_a_run_is_computed_once(monkeypatch, tmp_path):
    runs, n = [labelled(1), labelled(2)], []
    monkeypatch.setattr("resight.score.choose.distributions", lambda *given: n.append(1) or distributions(*given))
    groups = by_evidence(runs)
    for run in runs:
        judge(run, groups["", EVIDENCE], NoveltyParams())
    write_prior(runs, ["bay"], tmp_path / "prior.json")
    assert len(n) == 2 * 2 * 2, "with the queries and without, with geometry and without"


def test_from_the_command_line_to_the_file(tmp_path):
    folder, animals = written(labelled(1), tmp_path / "run"), tmp_path / "animals.csv"
    animals.write_text("individual_id,part\nA,training\nB,training\nC,training\nD,validation\n")
    called = [
        "train",
        "fusion",
        str(folder),
        "--name",
        "bay",
        "--split",
        str(animals),
        "--out",
        str(tmp_path / "p.json"),
    ]
    result = json.loads(CliRunner().invoke(app, [*called, "--json"], catch_exceptions=False).stdout.splitlines()[-1])
    assert json.loads((tmp_path / "p.json").read_text()) == result["prior"] and result["path"].endswith("p.json")
    assert [row["n"] for row in result["judged"]] == [[3, 3]], "a photo and an encounter of each of the three"
    assert {p["source"] for p in result["prior"]["priors"]} == {"labelled photos of bay"}
    shown = CliRunner().invoke(app, called[:3])
    assert shown.exit_code == 0 and "Nothing was written" in shown.stdout and "novelty_auroc" in shown.stdout
    animals.write_text("individual_id,part\nD,validation\n")
    refused = CliRunner().invoke(app, called)
    assert isinstance(refused.exception, SettingsError) and "names no animal for training" in str(refused.exception)
