"""Stage ``agreement``: whether photos that form an encounter by rule alone agree with each other."""

from dataclasses import replace

from resight.decisions.apply import rejections
from resight.run import agreement
from resight.run.run import Run
from resight.run.state import Matched
from resight.tasks.stage import stage


@stage("agreement")
def check_encounters(run: Run, matched: Matched) -> Matched:
    """Match the photos of each such encounter, and give those that speak against it one of their own."""
    checked = agreement.check_encounters(run.conditions, matched)
    if not checked.n_photos:
        return matched
    n_out = len(checked.voted_out)
    run.work["pairs_matched"] += checked.n_matched
    run.counts["agreement"] = {"in": checked.n_photos, "out": {"agrees": checked.n_photos - n_out, "voted_out": n_out}}
    run.note(agreement.sentence(checked.matched.photos, checked.voted_out))
    if not n_out:
        return matched
    cohort = checked.matched.cohort
    if cohort.refused:  # what a person says of a photo that was voted out is not about those that stayed
        cohort = replace(cohort, refused=rejections(checked.matched.photos, run.decided))
    return replace(checked.matched, cohort=cohort, photos=run.add("photos", checked.matched.photos))
