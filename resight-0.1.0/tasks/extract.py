"""Stage ``extract``."""

from resight.extract.stage import extract
from resight.run.run import Run
from resight.run.state import Extracted, Segmented
from resight.store.counts import reconcile
from resight.tasks.stage import stage


@stage("extract")
def extract_features(run: Run, segmented: Segmented) -> Extracted:
    """Keypoints and descriptors of every crop, into Zarr."""
    crops = segmented.crops
    result = extract(run.env, run.settings.extract, run.names.extract, crops)
    reconcile("extract", crops["crop_id"].to_pylist(), result.features["crop_id"].to_pylist())
    run.work["features_computed"] = result.n_extracted
    run.fingerprints["extract"] = next(iter(result.features["extract_fingerprint"].to_pylist()), "")
    features = run.add("features", result.features)
    run.count("extract", crops.num_rows, features)
    return segmented.then(Extracted, features=features)
