"""Stage ``match``."""

import pyarrow as pa

from resight.cohort import crop_info, plan
from resight.counts import reconcile
from resight.match import match
from resight.run import Run
from resight.runs import TableRef
from resight.tasks.stage import stage


@stage("match")
def match_pairs(run: Run) -> TableRef:
    """Plan the pairs, match those that nobody has matched before, give every planned pair a status."""
    cohort = run.cohort
    if cohort is None:
        raise ValueError("match_pairs needs run.cohort")
    info = crop_info(run.tables["photos"], run.tables["crops"], run.tables["features"], cohort)
    run.extras["crop_info"] = info
    planned = plan(info, cohort, run.settings)
    result = match(run.workspace, run.settings, planned, run.tables["features"], run.weights, run.runner)
    reconcile("match", _keys(planned), _keys(result.pairs))
    run.work["pairs_matched"] = result.n_matched
    table = run.add("pairs", result.pairs)
    run.count("match", planned.num_rows, run.tables["pairs"])
    return table


def _keys(pairs: pa.Table) -> list[str]:
    return [
        f"{q} {g}"
        for q, g in zip(pairs["query_crop_id"].to_pylist(), pairs["gallery_crop_id"].to_pylist(), strict=True)
    ]
