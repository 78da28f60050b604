"""Stage ``ingest``."""

from resight.ingest.stage import ingest
from resight.run.run import Run
from resight.run.setups import ingest_setup
from resight.store.runs import TableRef
from resight.tasks.stage import stage


@stage("ingest")
def ingest_photos(run: Run) -> TableRef:
    """Find the photos and read what is new; names the run after what it found."""
    found = ingest(run.env, ingest_setup(run.settings), run.names.ingest, run.sources, run.night)
    run.annotations = found.annotations
    run.note(*found.notes)
    run.work["photos_decoded"] = found.n_decoded
    run.name_after_inputs(found.photos)
    table = run.add("photos", found.photos)
    run.count("ingest", found.photos.num_rows, run.tables["photos"])
    run.counts["ingest"]["files"] = found.n_files
    return table
