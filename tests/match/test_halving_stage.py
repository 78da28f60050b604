"""Successive halving in the pipeline: survivors' results are those of full matching, and nothing is asked twice."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from kornia.feature import LightGlue
from safetensors.torch import save_file

from resight.environment import Environment
from resight.errors import SettingsError, WeightsError
from resight.extract.base import Features
from resight.match.blocks import load_matcher
from resight.match.cache import PART_SCHEMA
from resight.match.halving import work as halving_work
from resight.match.halving.stage import HalvingResult, halve
from resight.match.stage import match
from resight.match.work import matcher_spec
from resight.run.setups import match_setup
from resight.runner.params import DaskParams
from resight.runner.runner import Failure, Runner
from resight.settings import Settings, settings_from
from resight.store.counts import reconcile
from resight.store.parts import read_parts
from resight.store.workspace import Workspace

LAYERS, DIM = 3, 16
QUERIES, GALLERY = ["k0", "k1", "k2"], [f"{side}{i}" for i in range(4) for side in "az"]  # ids on both sides of k
ALL = [(q, g) for q in QUERIES for g in GALLERY]
ROUNDS = [[1, 0.5], [2, 0.5]]  # of 8 candidates 4, then 2
NUMBERS = [f.name for f in PART_SCHEMA if pa.types.is_floating(f.type) or pa.types.is_integer(f.type)]
PlanOf = Callable[..., pa.Table]


@pytest.fixture(autouse=True)
def crops(survey: Any) -> Any:
    """Photos of two animals with ragged counts, in place of the survey's."""
    survey.crops.clear()
    rng = np.random.default_rng(3)
    animals = [rng.normal(size=(60, DIM)).astype(np.float32) for _ in range(2)]
    places = [rng.uniform([20, 20], [290, 450], (60, 2)).astype(np.float32) for _ in range(2)]
    for at, name in enumerate([*QUERIES, *GALLERY, "z9"]):
        pick = rng.permutation(60)[: 30 + at]
        d = animals[at % 2][pick] + 0.1 * rng.normal(size=(len(pick), DIM)).astype(np.float32)
        xy = places[at % 2][pick] + rng.uniform(-3, 3, (len(pick), 2)).astype(np.float32)
        one = np.ones(len(pick), np.float32)
        unit = (d / np.linalg.norm(d, axis=1, keepdims=True)).astype(np.float32)
        survey.crops[name] = Features(xy, unit, one, one, one, (313, 471))
    return survey


def save_checkpoint(path: Path, trained: bool = True) -> Path:
    """Random weights with confident heads at every layer, or with inner heads as torch starts them."""
    torch.manual_seed(0)
    model = LightGlue(None, input_dim=DIM, descriptor_dim=32, n_layers=LAYERS, num_heads=2)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    for i in range(LAYERS) if trained else [LAYERS - 1]:
        state[f"log_assignment.{i}.final_proj.weight"] *= 8
    save_file(state, path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All heads trained."""
    return save_checkpoint(tmp_path_factory.mktemp("weights") / "xfeat_small.safetensors")


@pytest.fixture
def configured(checkpoint: Path) -> Callable[..., Settings]:
    """Settings with this checkpoint."""

    def make(rounds: Any = (), pairs: dict[str, Any] | None = None, **more: Any) -> Settings:
        part = {"kind": "lightglue", "weights": str(checkpoint), "halving": rounds} | more
        return settings_from({"extract": {"kind": "xfeat"}, "match": part, "pairs": pairs or {}})

    return make


@pytest.fixture
def call(crops: Any, env: Environment, name_of: Any, configured: Any) -> Callable[..., Any]:
    """Halve."""

    def run(
        plan: pa.Table, settings: Settings | None = None, runner: Runner = env.runner, where: Workspace = env.workspace
    ) -> HalvingResult:
        used = settings or configured(ROUNDS)
        place = replace(env, runner=runner, workspace=where)
        return halve(place, match_setup(used), name_of(used), plan, crops.features)

    return run


@pytest.fixture
def matched(crops: Any, env: Environment, name_of: Any, configured: Any) -> Callable[..., Any]:
    """Stage ``match``."""

    def run(plan: pa.Table, settings: Settings | None = None) -> Any:
        used = settings or configured(ROUNDS)
        return match(env, match_setup(used), name_of(used), plan, crops.features)

    return run


class Counting(Runner):
    """Counts the pairs that blocks were made for, and loses the blocks from ``keep`` on."""

    def __init__(self, keep: int = 1000) -> None:
        super().__init__(DaskParams(mode="inline"), quiet=True)
        self.keep, self.pairs, self.blocks = keep, 0, 0

    def run(self, label: str, function: Any, blocks: Any, **options: Any) -> Any:
        blocks = pickle.loads(pickle.dumps(list(blocks)))  # as they travel to a worker
        self.pairs, self.blocks = self.pairs + sum(map(len, blocks)), self.blocks + len(blocks)
        done, _ = super().run(label, function, blocks[: self.keep], **options)
        return done, [Failure(one, "KilledWorker: out of memory") for one in blocks[self.keep :]]


def endings(table: pa.Table) -> dict[tuple[str, str], tuple[str, str]]:
    names = ("query_crop_id", "gallery_crop_id", "status", "reason")
    return {(q, g): (s, r) for q, g, s, r in zip(*(table[n].to_pylist() for n in names), strict=True)}


def pairs_of(plan: pa.Table, status: str) -> list[tuple[str, str]]:
    return [pair for pair, (found, _) in endings(plan).items() if found == status]


def keys(plan: pa.Table) -> list[str]:
    return [" ".join(pair) for pair in endings(plan)]


def test_survivors_have_the_results_of_full_matching(call: Any, matched: Any, plan_of: PlanOf, configured: Any) -> None:
    plan = plan_of(ALL)
    halved = call(plan)
    reconcile("halve", keys(plan), keys(halved.plan))
    assert halved.n_matched == 3 * 2
    after = matched(halved.plan)
    assert after.n_matched == 0, "survivors are in the cache"
    full = {(r["query_crop_id"], r["gallery_crop_id"]): r for r in matched(plan, configured()).pairs.to_pylist()}
    scored = [r for r in after.pairs.to_pylist() if r["status"] == "scored"]
    assert {r["gallery_crop_id"][0] for r in scored} == {"a", "z"}, "both orders of ids are looked at"
    for row in scored:
        want = full[row["query_crop_id"], row["gallery_crop_id"]]
        assert row["confidence_sum"] > 1e-3, "scores near 0 could not differ"
        assert row["match_fingerprint"] != want["match_fingerprint"]
        for name in set(row) - {"match_fingerprint"}:  # bitwise on CPU, whichever of the two asked
            assert row[name] == want[name], name
    dropped = [r for r in after.pairs.to_pylist() if r["status"] == "not_shortlisted"]
    assert len(dropped) == 3 * 6
    assert {(r["reason"], r["confidence_sum"]) for r in dropped} == {("halved", None)}


def test_the_best_by_the_first_head_go_on(
    call: Any, plan_of: PlanOf, crops: Any, configured: Any, env: Environment
) -> None:
    """One round that keeps one of three: the candidate with the largest sum after the first layer."""
    engine = load_matcher(matcher_spec(env, match_setup(configured([[1, 0.3]]))))
    three = GALLERY[:3]
    query, *gallery = (engine.kept(name, lambda n=name: crops.crops[n]) for name in ["k0", *three])  # type: ignore[attr-defined]
    sums = engine.engine.match_halving(query, gallery, [(1, 0.3)])  # type: ignore[attr-defined]
    halved = call(plan_of([("k0", g) for g in three]), configured([[1, 0.3]]))
    assert pairs_of(halved.plan, "planned") == [("k0", three[int(sums.order[0])])]


def test_what_is_not_planned_takes_no_part(call: Any, plan_of: PlanOf) -> None:
    plan = pa.concat_tables(
        [plan_of(ALL[:5]), plan_of(ALL[5:8], "excluded_by_policy", "viewpoint"), plan_of(ALL[8:], "not_shortlisted")]
    )
    halved = call(plan)
    assert halved.n_matched == 2  # of 5 candidates 3, then 2
    assert halved.plan.slice(5).equals(plan.slice(5))
    assert [r for _, r in endings(halved.plan.slice(0, 5)).values()].count("halved") == 3
    assert halved.plan.schema.equals(plan.schema)


def test_a_second_call_does_nothing(call: Any, plan_of: PlanOf, crops: Any) -> None:
    first, loads = call(plan_of(ALL)), crops.loads
    runner = Counting()
    again = call(plan_of(ALL[::-1]), runner=runner)
    assert (again.n_matched, runner.blocks, crops.loads) == (0, 0, loads)
    assert endings(again.plan) == endings(first.plan)


def test_a_new_gallery_crop_asks_those_again_who_may_see_it(call: Any, plan_of: PlanOf) -> None:
    before, runner = endings(call(plan_of(ALL)).plan), Counting()
    after = endings(call(plan_of([*ALL, ("k1", "z9")]), runner=runner).plan)
    assert runner.pairs == len(GALLERY) + 1
    assert {p: e for p, e in after.items() if p[0] != "k1"} == {p: e for p, e in before.items() if p[0] != "k1"}
    assert sum(e[0] == "planned" for p, e in after.items() if p[0] == "k1") == 3  # of 9 candidates 5, then 3


def test_blocks_do_not_change_results(
    call: Any, plan_of: PlanOf, workspace: Workspace, configured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(halving_work, "read_rate", lambda _: 0.1)
    runners, places = (Counting(), Counting()), (workspace, Workspace(workspace.root / "other"))
    one, many = (
        call(plan_of(ALL), configured(ROUNDS, {"block_seconds": seconds}), runner, where)
        for seconds, runner, where in zip((1e6, 10.0), runners, places, strict=True)
    )
    assert runners[0].blocks < runners[1].blocks == len(QUERIES)
    assert one.plan.equals(many.plan) and one.n_matched == many.n_matched
    rows = [
        pa.concat_tables(read_parts(folder, PART_SCHEMA) for folder in sorted((where.store / "match").iterdir()))
        .sort_by([("crop_id_a", "ascending"), ("crop_id_b", "ascending")])
        for where in places
    ]  # fmt: skip
    assert rows[0].equals(rows[1]) and rows[0].num_rows == 6


def test_a_pair_that_one_direction_brings_through_counts_in_both(call: Any, matched: Any, plan_of: PlanOf) -> None:
    every = ["a0", "z0", "a1", "z1", "a2"]
    plan = plan_of([(q, g) for q in every for g in every if q != g])
    halved = call(plan)
    planned = set(pairs_of(halved.plan, "planned"))
    assert planned == {(g, q) for q, g in planned} and len(planned) == 2 * halved.n_matched
    alone = {q: set(pairs_of(call(plan_of([(q, g) for g in every if g != q])).plan, "planned")) for q in every}
    survivors = set().union(*alone.values())
    assert all(len(pairs) == 1 for pairs in alone.values())  # of 4 candidates 2, then 1
    assert planned == survivors | {(g, q) for q, g in survivors} != survivors
    after = matched(halved.plan)
    assert after.n_matched == 0
    counts = {(r["query_crop_id"], r["gallery_crop_id"]): r["n_keypoints_query"] for r in after.pairs.to_pylist()}
    assert all(len({counts[q, g] for _, g in planned if (q, g) in planned}) == 1 for q, _ in planned)
    assert set(pairs_of(after.pairs, "scored")) == planned


def test_results_that_are_gone_are_matched_again(
    call: Any, matched: Any, plan_of: PlanOf, workspace: Workspace
) -> None:
    halved = call(plan_of(ALL))
    for part in (workspace.store / "match").rglob("*.parquet"):
        part.unlink()
    assert call(plan_of(ALL)).plan.equals(halved.plan)
    assert matched(halved.plan).n_matched == 6


def test_a_broken_crop_fails_its_pairs_and_is_tried_again(call: Any, matched: Any, plan_of: PlanOf, crops: Any) -> None:
    crops.broken = {"k0", "a1"}
    load_matcher.cache_clear()  # or the crops might still be there, encoded
    ended = endings(call(plan_of(ALL)).plan)
    for (q, g), (status, reason) in ended.items():
        assert (status == "failed") == (q == "k0" or g == "a1")
        assert reason.startswith("OSError: row") == (status == "failed")
    assert sum(status == "planned" for status, _ in ended.values()) == 2 * 2  # of 7 candidates 4, then 2
    crops.broken = set()
    runner = Counting()
    healed = call(plan_of(ALL), runner=runner)
    assert runner.pairs == len(ALL) and not pairs_of(healed.plan, "failed")
    assert matched(healed.plan).n_matched == 0


def test_a_lost_block_fails_its_pairs(call: Any, plan_of: PlanOf) -> None:
    lost = call(plan_of(ALL), runner=Counting(keep=0))
    assert lost.n_matched == 0
    assert set(endings(lost.plan).values()) == {("failed", "KilledWorker: out of memory")}
    assert call(plan_of(ALL)).n_matched == 6


def test_many_small_parts_become_few(call: Any, plan_of: PlanOf, workspace: Workspace) -> None:
    first = [call(plan_of([(q, g) for g in GALLERY])).plan for q in QUERIES]
    assert len(list((workspace.store / "halving").rglob("*.parquet"))) < len(first)
    runner = Counting()
    assert call(plan_of(ALL), runner=runner).plan.equals(pa.concat_tables(first))
    assert runner.blocks == 0


def test_off_by_default(call: Any, plan_of: PlanOf, configured: Any, workspace: Workspace) -> None:
    plan, runner = plan_of(ALL), Counting()
    for settings in (Settings(), configured()):
        result = call(plan, settings, runner)
        assert result.plan is plan and (result.n_matched, runner.blocks) == (0, 0)
    assert not workspace.store.exists()
    assert configured().match.halving == ()


def test_nobody_to_ask(call: Any, plan_of: PlanOf) -> None:
    assert call(plan_of([])).plan.num_rows == 0
    nothing = plan_of(ALL, "no_features")
    assert call(nothing).plan.equals(nothing)


@pytest.mark.parametrize(
    ("rounds", "more", "sentence"),
    [
        ([[2, 0.5], [1, 0.5]], {}, r"match.halving = \[\[2, 0.5\], \[1, 0.5\]\]: the layers of its rounds must rise"),
        ([[1, 0.5], [1, 0.5]], {}, "must rise"),
        ([[0, 0.5]], {}, "start at 1"),
        ([[1, 1.0]], {}, "each share kept must lie between 0 and 1"),
        ([[1, 0.0]], {}, "each share kept"),
        ([[1, 0.5]], {"backend": "kornia"}, "needs match.backend = 'resight', not 'kornia'"),
        ([[1, 0.5]], {"depth_confidence": 0.9}, "cannot be combined with early exit"),
        ([[1, 0.5]], {"width_confidence": 0.9}, "cannot be combined with early exit"),
        ([[1, 0.5]], {"verify": {"model": "homography"}}, "set match.verify.model = 'none'"),
    ],
)
def test_refused_settings(configured: Any, rounds: Any, more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence) as error:
        configured(rounds, **more)
    assert "\n" not in str(error.value)


def test_a_round_after_the_last_layer_stops_the_run(call: Any, plan_of: PlanOf, configured: Any) -> None:
    with pytest.raises(SettingsError, match="has a round after layer 3, and the LightGlue checkpoint has 3 layers"):
        call(plan_of(ALL), configured([[1, 0.5], [3, 0.5]]))


def test_heads_that_nobody_trained_stop_the_run(call: Any, plan_of: PlanOf, configured: Any, tmp_path: Path) -> None:
    raw = save_checkpoint(tmp_path / "xfeat_raw.safetensors", trained=False)
    with pytest.raises(WeightsError, match=r"match.halving needs a trained assignment head at layer 1"):
        call(plan_of(ALL), configured(ROUNDS, weights=str(raw)))
