"""Columns of tables with a row per pair: looked up without a Python object for each row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa


def mapped(column: pa.ChunkedArray | pa.Array, value_of: Mapping[str, Any], kind: pa.DataType) -> pa.Array:
    """The value of each text of a column; missing where ``value_of`` has none."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    return pa.array([value_of.get(text) for text in encoded.dictionary.to_pylist()], kind).take(encoded.indices)
