"""Columns of tables with a row per pair: looked up without a Python object for each row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def mapped(column: pa.ChunkedArray | pa.Array, value_of: Mapping[str, Any], kind: pa.DataType) -> pa.Array:
    """The value of each text of a column; missing where ``value_of`` has none."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    return pa.array([value_of.get(text) for text in encoded.dictionary.to_pylist()], kind).take(encoded.indices)


def digest_of_table(table: pa.Table) -> str:
    """SHA-256 of names and values in their order; texts, numbers, days and times."""
    digest = hashlib.sha256()
    for name, column in zip(table.column_names, table.columns, strict=True):
        digest.update(f"{name}\0{len(column)}\0".encode())
        values = column.combine_chunks()
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if pa.types.is_string(values.type):
            encoded = values.dictionary_encode()
            digest.update("".join(f"{text}\0" for text in encoded.dictionary.to_pylist()).encode())
            values = encoded.indices
        elif pa.types.is_temporal(values.type):
            values = values.cast(pa.int32() if pa.types.is_date32(values.type) else pa.int64())
        digest.update(np.asarray(pc.is_valid(values)).tobytes())
        digest.update(np.ascontiguousarray(pc.fill_null(values, 0)).tobytes())
    return digest.hexdigest()
