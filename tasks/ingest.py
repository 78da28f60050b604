"""Stage ``ingest``."""

from collections.abc import Mapping
from datetime import date

import pyarrow as pa

from resight.decisions.apply import decide_photos, decision_rows
from resight.decisions.log import DecisionLog
from resight.decisions.state import Decided
from resight.ingest.annotation import Annotation
from resight.ingest.stage import ingest
from resight.run.run import Run
from resight.run.setups import ingest_setup
from resight.run.state import Ingested
from resight.tasks.stage import stage

# What people have decided about the photos of the workspace; other flows ask labelled folders.
HEEDS_DECISIONS = ("nightly", "past", "rebuild", "accuracy", "identify", "segment", "train")


@stage("ingest")
def ingest_photos(run: Run) -> Ingested:
    """Find the photos and read what is new; names the run after what it found."""
    seen_on = run.night if run.then is None else date.today().isoformat()
    result = ingest(run.env, ingest_setup(run.settings), run.names.ingest, run.sources, seen_on, run.then)
    run.note(*result.notes)
    run.not_read = result.not_read
    run.work["photos_decoded"] = result.n_decoded
    table: pa.Table = result.photos
    annotations: Mapping[str, tuple[Annotation, ...]] = result.annotations
    if run.flow in HEEDS_DECISIONS:
        log = DecisionLog(run.workspace)
        made = (entry for entry in log.entries() if run.then is None or entry.moment <= run.then.until)
        run.decided = Decided.of(made)
        run.note(*log.notes)
        table, annotations, notes = decide_photos(table, annotations, run.decided)
        run.note(*notes)
    run.name_after_inputs(table, annotations)
    photos = run.add("photos", table)
    if run.decided.entries:
        run.add("decisions", decision_rows(run.decided, photos))
    run.count("ingest", photos.num_rows, photos)
    run.counts["ingest"]["files"] = result.n_files
    return Ingested(photos=photos, annotations=annotations)
