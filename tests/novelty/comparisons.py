"""Calibrations from scores by hand."""

import math

import pyarrow as pa

from resight.novelty.calibration import COMPARISON_SCHEMA, Calibration, impostor_maxima
from resight.novelty.yardstick import Yardstick


def calibration(rows):
    """Rows of (encounter, own individual, candidate, score) from one pair each."""
    plain = [dict(zip(COMPARISON_SCHEMA.names, (*r, 1, r[1] == r[2]), strict=True)) for r in rows]
    return of_table(pa.Table.from_pylist(plain, schema=COMPARISON_SCHEMA))


def of_table(table):
    maxima = impostor_maxima(table)
    found = [r for r in maxima.to_pylist() if r["impostor_maximum"] is not None]
    levels = Yardstick(tuple((r["encounter_id"], r["individual_id"], 1, r["impostor_maximum"]) for r in found))
    return Calibration(table, maxima, levels)


def world(n_animals, encounters, rng, genuine=1.0, impostor=0.0):
    """Log-normal scores of ``encounters`` encounters of each animal against all animals."""
    rows = []
    for a in range(n_animals):
        for e in range(encounters):
            for c in range(n_animals):
                if c != a or encounters > 1:
                    score = math.exp(rng.normal(genuine if c == a else impostor, 0.5))
                    rows.append((f"{a}-{e}", f"i{a}", f"i{c}", score))
    return calibration(rows)
