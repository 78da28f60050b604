"""Stage ``embed``: a vector of every crop, where that is enabled."""

from collections import Counter
from dataclasses import replace

from resight.embed.stage import embed
from resight.pairs.cohort import Cohort
from resight.run.pairing import wants_vectors
from resight.run.run import Run
from resight.run.state import Extracted
from resight.tasks.stage import stage


def embed_crops(run: Run, extracted: Extracted, cohort: Cohort) -> Extracted:
    """The crops with their vectors; as they came where the settings want none for a gallery of that size."""
    return _embedded(run, extracted) if wants_vectors(run.settings, extracted, cohort) else extracted


@stage("embed")
def _embedded(run: Run, extracted: Extracted) -> Extracted:
    """A vector of every crop, into parts."""
    result = embed(run.env, run.settings.embed, run.names.embed, extracted.crops)
    run.work["crops_embedded"] = result.n_embedded
    run.fingerprints["embed"] = run.names.embed
    counts = Counter(str(status) for status in result.statuses.values())
    run.counts["embed"] = {"in": extracted.crops.num_rows, "out": dict(sorted(counts.items()))}
    if result.failed:
        first, reason = next(iter(result.failed.items()))
        run.note(
            f"{len(result.failed)} crops have no vector (first: {first}, {reason}); they are compared by their keypoints alone. "
            "The next run tries again."
        )
    return replace(extracted, vectors=result.vectors)
