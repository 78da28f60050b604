"""Rules, ties and the best pair, on cases worked out by hand."""

import numpy as np
import pyarrow as pa
import pytest

from resight.errors import BrokenCountError
from resight.rank.params import RankParams
from resight.rank.photos import photo_pairs
from resight.rank.stage import RANK_SCHEMA, rank, rank_all
from resight.store.tables import conform

RULES = ["max", "mean_top2", "mean_max"]


def info(*rows):
    return pa.table(
        {
            name: pa.array([r[k] for r in rows], pa.string())
            for k, name in enumerate(["crop_id", "photo_id", "encounter_id", "individual_id"])
        }
    )


def scores_table(*rows, purpose="identify"):
    return pa.table(
        {
            "query_crop_id": pa.array([r[0] for r in rows], pa.string()),
            "gallery_crop_id": pa.array([r[1] for r in rows], pa.string()),
            "purpose": pa.array([purpose] * len(rows), pa.string()),
            "score": pa.array([float(r[2]) for r in rows], pa.float64()),
        }
    )


# Encounter E: photos P (crops p1, p2) and Q (crop q). Gallery: Ada in photos A1, A2; Ben in B.
INFO = info(
    ("p1", "P", "E", None), ("p2", "P", "E", None), ("q", "Q", "E", None),
    ("a1", "A1", "ada-1", "Ada"), ("a2", "A2", "ada-2", "Ada"), ("b", "B", "ben-1", "Ben"),
)  # fmt: skip
SCORES = scores_table(
    ("p1", "a1", 0.1), ("p2", "a1", 0.9), ("p1", "a2", 0.3), ("q", "a2", 0.4),
    ("p1", "b", 0.5), ("q", "b", 0.6),
)  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "ada", "ben"),
    [
        ("max", 0.9, 0.6),
        ("mean_top2", (0.9 + 0.4) / 2, (0.6 + 0.5) / 2),
        ("mean_max", (0.9 + 0.4) / 2, (0.5 + 0.6) / 2),  # best of P, best of Q
    ],
)
def test_rules_by_hand(rule, ada, ben):
    ranked = rank_all(SCORES, INFO, RankParams(rule=rule)).to_pylist()
    encounter = {r["individual_id"]: r["score"] for r in ranked if r["level"] == "encounter"}
    assert encounter == pytest.approx({"Ada": ada, "Ben": ben})


def test_mean_max_and_mean_top2_differ_where_one_photo_has_the_two_best_pairs():
    scores = scores_table(("p1", "a1", 0.9), ("p1", "a2", 0.8), ("q", "a1", 0.1))
    found = {r: rank_all(scores, INFO, RankParams(rule=r))["score"][0].as_py() for r in RULES}
    assert found == pytest.approx({"max": 0.9, "mean_top2": 0.85, "mean_max": 0.5})


def test_rows_by_hand():
    ranked = [
        r
        for r in rank_all(SCORES, INFO, RankParams(rule="max"), {"P": "Ada", "Q": "Ada"}).to_pylist()
        if r["level"] == "encounter"
    ]
    ada, ben = ranked
    assert (ada["individual_id"], ada["rank"], ada["n_photos"], ada["n_pairs"]) == ("Ada", 1, 2, 3)
    assert (ben["individual_id"], ben["rank"], ben["n_photos"], ben["n_pairs"]) == ("Ben", 2, 2, 2)
    best = ("best_query_crop_id", "best_gallery_crop_id", "best_query_photo_id", "best_gallery_photo_id")
    assert [ada[c] for c in best] == ["p2", "a1", "P", "A1"]
    assert ada["probability"] is None and ada["true_individual_id"] == "Ada"


def test_photo_level_asks_each_photo_alone():
    ranked = [r for r in rank_all(SCORES, INFO, RankParams(rule="max")).to_pylist() if r["level"] == "photo"]
    assert [(r["query_id"], r["rank"], r["individual_id"], r["score"]) for r in ranked] == [
        ("P", 1, "Ada", 0.9), ("P", 2, "Ben", 0.5), ("Q", 1, "Ben", 0.6), ("Q", 2, "Ada", 0.4),
    ]  # fmt: skip
    assert all(r["encounter_id"] == "E" and r["n_photos"] == 1 for r in ranked)


def test_a_photo_pair_is_its_best_pair_of_crops():
    pairs = photo_pairs(SCORES, INFO).to_pylist()
    assert [(p["query_photo_id"], p["gallery_photo_id"], p["score"], p["query_crop_id"]) for p in pairs] == [
        ("P", "A1", 0.9, "p2"), ("P", "A2", 0.3, "p1"), ("P", "B", 0.5, "p1"), ("Q", "A2", 0.4, "q"), ("Q", "B", 0.6, "q"),
    ]  # fmt: skip


def test_ties_go_to_more_pairs_then_to_the_alphabet():
    gallery = info(
        ("q", "Q", "E", None), ("z", "Z", "z-1", "Zoe"), ("z2", "Z2", "z-2", "Zoe"), ("b", "B", "b-1", "Ben"), ("a", "A", "a-1", "Ada"),
    )  # fmt: skip
    scores = scores_table(("q", "b", 0.5), ("q", "z", 0.5), ("q", "z2", 0.2), ("q", "a", 0.5))
    names = [
        r["individual_id"]
        for r in rank_all(scores, gallery, RankParams(rule="max")).to_pylist()
        if r["level"] == "photo"
    ]
    assert names == ["Zoe", "Ada", "Ben"]


@pytest.mark.parametrize("rule", RULES)
def test_no_match_is_last_in_every_rule(rule):
    scores = scores_table(("q", "a1", 0.0), ("q", "a2", 0.0), ("p1", "a1", 0.0), ("q", "b", 1e-9), ("p1", "b", 0.0))
    ranked = rank_all(scores, INFO, RankParams(rule=rule)).to_pylist()
    assert next(r["individual_id"] for r in ranked if r["level"] == "encounter" and r["rank"] == 2) == "Ada"


@pytest.mark.parametrize("rule", RULES)
def test_a_higher_score_of_a_pair_never_lowers_its_animal(rule):
    before = {
        r["individual_id"]: r["score"] for r in rank_all(SCORES, INFO, RankParams(rule=rule)).slice(0, 2).to_pylist()
    }
    for k in range(SCORES.num_rows):
        raised = SCORES["score"].to_pylist()
        raised[k] += 0.25
        table = SCORES.set_column(3, "score", pa.array(raised))
        after = {
            r["individual_id"]: r["score"] for r in rank_all(table, INFO, RankParams(rule=rule)).slice(0, 2).to_pylist()
        }
        assert all(after[i] >= before[i] for i in before)


@pytest.mark.parametrize("rule", RULES)
def test_order_of_rows_does_not_matter(rule):
    rng = np.random.default_rng(1)
    crops = info(
        *[(f"q{k}", f"Q{k // 2}", f"E{k // 4}", None) for k in range(12)],
        *[(f"g{k}", f"G{k}", f"e{k}", f"i{k // 3}") for k in range(12)],
    )
    rows = [(f"q{a}", f"g{b}", rng.integers(0, 5) / 10) for a in range(12) for b in range(12)]
    expected = rank_all(scores_table(*rows), crops, RankParams(rule=rule))
    for _ in range(3):
        shuffled = [rows[k] for k in rng.permutation(len(rows))]
        crop_rows = crops.take(pa.array(rng.permutation(crops.num_rows)))
        assert rank_all(scores_table(*shuffled), crop_rows, RankParams(rule=rule)).equals(expected)


def test_only_the_first_candidates_are_kept_and_fit_the_catalog():
    cut = rank(SCORES, INFO, RankParams(top_k=1, rule="max"))
    assert cut["rank"].to_pylist() == [1, 1, 1]
    assert conform("identifications", cut, "r").num_rows == 3


def test_other_purpose_and_nothing_at_all():
    assert rank_all(scores_table(("q", "b", 1), purpose="calibrate"), INFO, RankParams(rule="max")).num_rows == 0
    empty = rank_all(SCORES.slice(0, 0), INFO, RankParams(rule="max"))
    assert empty.num_rows == 0 and empty.schema.equals(RANK_SCHEMA)


def test_broken_input_is_refused():
    with pytest.raises(BrokenCountError, match="without individual"):
        rank_all(scores_table(("p1", "q", 0.5)), INFO, RankParams(rule="max"))
    with pytest.raises(BrokenCountError, match="not among the crops"):
        rank_all(scores_table(("p1", "stranger", 0.5)), INFO, RankParams(rule="max"))
