"""Stage ``novelty``."""

import pyarrow as pa

from resight.novelty.calibration import calibrate
from resight.novelty.decide import decide, listed
from resight.novelty.model import fit
from resight.plugins.registry import SCORES
from resight.run.run import Run
from resight.store.counts import reconcile
from resight.store.runs import TableRef
from resight.tasks.stage import stage


@stage("novelty")
def judge_novelty(run: Run) -> TableRef:
    """Learn from gallery animals that play the unknown one, then decide on every query encounter."""
    cohort = run.cohort
    if cohort is None:
        raise ValueError("judge_novelty needs run.cohort")
    queries = query_photos(run)
    encounter_of = dict(zip(queries["photo_id"].to_pylist(), queries["encounter_id"].to_pylist(), strict=True))
    calibration = calibrate(run.tables["scores"], run.extras["crop_info"], run.extras["rank_params"])
    scored = SCORES[run.settings.score.name]
    model = fit(calibration, scored.signed, scored.elsewhere)
    verdicts = decide(
        run.extras["ranked"], queries, set(cohort.labels.values()), model, run.settings.novelty,
        truth={encounter_of[p]: name for p, name in cohort.truth.items() if p in encounter_of},
    )  # fmt: skip
    reconcile("novelty", set(encounter_of.values()), verdicts.novelty["encounter_id"].to_pylist())
    run.extras |= {"novelty_model": model, "ranked": verdicts.ranked}
    shown = listed(verdicts, run.settings.rank.top_k)
    run.add("identifications", shown.ranked)
    table = run.add("novelty", shown.novelty)
    decisions = verdicts.novelty["decision"].to_pylist()
    run.counts["novelty"] = {
        "in": len(set(encounter_of.values())),
        "out": {d: decisions.count(d) for d in sorted(set(decisions))},
    }
    return table


def query_photos(run: Run) -> pa.Table:
    """``photo_id`` and ``encounter_id`` of all query photos, compared or not."""
    photos = run.tables["photos"].select(["photo_id", "encounter_id"])
    wanted = run.cohort.queries if run.cohort else frozenset()
    return photos.filter(pa.array([p in wanted for p in photos["photo_id"].to_pylist()], pa.bool_()))
