"""Stage ``segment``."""

from resight.decisions.apply import decide_crops
from resight.run.run import Run
from resight.run.setups import segment_setup
from resight.run.state import Ingested, Segmented
from resight.segment.stage import segment
from resight.store.counts import reconcile
from resight.tasks.stage import stage


@stage("segment")
def segment_photos(run: Run, ingested: Ingested) -> Segmented:
    """Cut the animals out; every photo ends in at least one row."""
    photos = ingested.photos
    result = segment(run.env, segment_setup(run.settings), run.names.segment, photos, ingested.annotations)
    reconcile("segment", photos["photo_id"].to_pylist(), set(result.crops["photo_id"].to_pylist()))
    run.work["crops_cut"] = result.n_cut
    run.fingerprints["segment"] = next(iter(result.crops["segment_fingerprint"].to_pylist()), "")
    crops = run.add("crops", decide_crops(result.crops, run.decided))
    run.count("segment", photos.num_rows, crops)
    return ingested.then(Segmented, crops=crops)
