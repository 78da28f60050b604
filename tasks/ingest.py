"""Stage ``ingest``."""

from resight.ingest.stage import ingest
from resight.run.run import Run
from resight.run.setups import ingest_setup
from resight.run.state import Ingested
from resight.tasks.stage import stage


@stage("ingest")
def ingest_photos(run: Run) -> Ingested:
    """Find the photos and read what is new; names the run after what it found."""
    result = ingest(run.env, ingest_setup(run.settings), run.names.ingest, run.sources, run.night)
    run.note(*result.notes)
    run.work["photos_decoded"] = result.n_decoded
    run.name_after_inputs(result.photos, result.annotations)
    photos = run.add("photos", result.photos)
    run.count("ingest", photos.num_rows, photos)
    run.counts["ingest"]["files"] = result.n_files
    return Ingested(photos=photos, annotations=result.annotations)
