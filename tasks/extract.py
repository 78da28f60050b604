"""Stage ``extract``."""

from resight.extract.stage import extract
from resight.run.run import Run
from resight.store.counts import reconcile
from resight.store.runs import TableRef
from resight.tasks.stage import stage


@stage("extract")
def extract_features(run: Run) -> TableRef:
    """Keypoints and descriptors of every crop, into Zarr."""
    crops = run.tables["crops"]
    result = extract(run.env, run.settings.extract, run.names.extract, crops)
    reconcile("extract", crops["crop_id"].to_pylist(), result.features["crop_id"].to_pylist())
    run.work["features_computed"] = result.n_extracted
    table = run.add("features", result.features)
    run.fingerprints["extract"] = next(iter(result.features["extract_fingerprint"].to_pylist()), "")
    run.count("extract", crops.num_rows, run.tables["features"])
    return table
