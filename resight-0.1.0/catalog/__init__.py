"""The tables that Resight writes: one Arrow schema each, every column with type, unit and description, once."""

from resight.catalog.computed import ATTEMPTS, COMPUTED, SIGHTINGS
from resight.catalog.schema import Column, Table, data_dictionary
from resight.catalog.tables import TABLES, table

__all__ = ["ATTEMPTS", "COMPUTED", "SIGHTINGS", "TABLES", "Column", "Table", "data_dictionary", "table"]
