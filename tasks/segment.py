"""Stage ``segment``."""

from resight.run.run import Run
from resight.run.setups import segment_setup
from resight.segment.stage import segment
from resight.store.counts import reconcile
from resight.store.runs import TableRef
from resight.tasks.stage import stage


@stage("segment")
def segment_photos(run: Run) -> TableRef:
    """Cut the animals out; every photo ends in at least one row."""
    photos = run.tables["photos"]
    result = segment(run.env, segment_setup(run.settings), run.names.segment, photos, run.annotations)
    reconcile("segment", photos["photo_id"].to_pylist(), set(result.crops["photo_id"].to_pylist()))
    run.work["crops_cut"] = result.n_cut
    table = run.add("crops", result.crops)
    run.fingerprints["segment"] = next(iter(result.crops["segment_fingerprint"].to_pylist()), "")
    run.count("segment", photos.num_rows, run.tables["crops"])
    return table
