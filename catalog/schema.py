"""How a table is described, and the data dictionary that is generated from the descriptions."""

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Column:
    """A column: Arrow type, meaning, unit ('' for none), and whether a value may be missing."""

    name: str
    type: pa.DataType
    description: str
    unit: str = ""
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    """A table: its key is unique and never missing, and rows in files are sorted by it; ``version`` is raised by every change of columns or meaning.

    ``in_files`` is False where it is only computed when somebody asks. ``in_parts``: it is a folder of files, most of which a run takes
    over from the run before (`store.table_parts`); its key columns are texts.
    """

    name: str
    version: int
    row: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    in_files: bool = True
    in_parts: bool = False

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema; units and descriptions travel in the field metadata, the version in the schema metadata."""
        fields = [
            pa.field(
                c.name, c.type, c.nullable and c.name not in self.key, {"description": c.description, "unit": c.unit}
            )
            for c in self.columns
        ]
        return pa.schema(
            fields, {"resight_table": self.name, "resight_version": str(self.version), "key": ",".join(self.key)}
        )


def data_dictionary(tables: tuple[Table, ...]) -> str:
    """Markdown that lists every table and column; ``catalog/DICTIONARY.md`` is this text."""
    lines = [
        "# Data dictionary",
        "",
        "Generated from `catalog/tables.py` by `make dictionary`; a test keeps the two equal. The same column name means the",
        "same quantity in every table. Key columns are in bold. Every file is sorted by its key, in row groups with statistics and",
        "a page index, so that readers find a few rows without reading the rest. A table in parts is a folder of such files, all of",
        "which belong to it; a run has its own rows and no other, and takes over files of the run before whose rows are the same.",
    ]
    for one in tables:
        order = (
            f" {'In parts, each sorted' if one.in_parts else 'Sorted'} by {', '.join(f'`{key}`' for key in one.key)}."
        )
        order = order if one.in_files else ""
        lines += ["", f"## {one.name} (version {one.version})", "", f"One row is {one.row}.{order}", ""]
        lines += ["| column | type | unit | meaning |", "| --- | --- | --- | --- |"]
        for c in one.columns:
            name = f"**{c.name}**" if c.name in one.key else c.name
            lines.append(f"| {name} | {c.type} | {c.unit} | {c.description} |")
    return "\n".join(lines) + "\n"
