"""Which crops the embedding may learn from."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from resight.pairs.cohort import Cohort
from resight.status import CropStatus


def training_rows(photos: pa.Table, crops: pa.Table, cohort: Cohort) -> list[dict[str, Any]]:
    """Usable crops of the gallery's photos; a photo that also asks, as where encounters ask in turns, is none of them.

    Returns:
        ``crop_id, path, individual_id, viewpoint, encounter_id``, sorted by crop_id.
    """
    labels = {p: name for p, name in cohort.labels.items() if p not in cohort.queries}
    encounter = dict(zip(photos["photo_id"].to_pylist(), photos["encounter_id"].to_pylist(), strict=True))
    rows = crops.select(["crop_id", "photo_id", "path", "viewpoint", "status"]).to_pylist()
    usable = [
        {k: r[k] for k in ("crop_id", "path", "viewpoint")}
        | {"individual_id": labels[r["photo_id"]], "encounter_id": encounter[r["photo_id"]]}
        for r in rows
        if r["status"] == CropStatus.OK and r["photo_id"] in labels
    ]
    return sorted(usable, key=lambda r: r["crop_id"])
