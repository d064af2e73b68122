"""The data dictionary of all published tables, from their contracts (schemas/tables/)."""

from __future__ import annotations

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from recur.contracts import LABELS, SCHEMAS, Column, Contract, folders


def dictionary() -> str:
    """The page as Markdown."""
    pages = Environment(
        loader=FileSystemLoader(SCHEMAS / "tables"), trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    told: dict[tuple[str, ...], str] = {}  # the first table with just these columns
    for folder in folders():
        for table in folder.tables:
            told.setdefault(columns_of(table), table.files[0])

    def is_told(table: Contract) -> bool:
        return told[columns_of(table)] != table.files[0]

    def introduction(table: Contract) -> str:
        """What a table is, and what its columns have in common with others."""
        parts = [table.about, table.note]
        if is_told(table):
            parts.append(f"Columns as of {as_code(told[columns_of(table)])}.")
        elif table.labels:
            parts.append("It begins with analysis, endpoint.")
        return " ".join(filter(None, parts))

    pages.filters |= {"as_code": as_code, "as_name": as_name, "meaning": meaning, "cells": cells}
    pages.filters |= {"introduction": introduction, "is_told": is_told, "own_columns": own_columns}
    return pages.get_template("dictionary.md.jinja").render(folders=folders()).rstrip() + "\n"


def columns_of(table: Contract) -> tuple[str, ...]:
    """A table's columns, to compare."""
    return tuple(map(repr, table.columns))


def own_columns(table: Contract) -> list[Column]:
    """The columns of a table behind its labels."""
    return table.columns[len(LABELS) :] if table.labels else table.columns


def as_code(file: str) -> str:
    return f"`{file}`"


def as_name(column: str) -> str:
    """A column's name; one with a place in <> as code, which Markdown would take for markup."""
    return f"`{column}`" if "<" in column else column


def meaning(column: Column) -> str:
    """What a column holds, and where the table has it."""
    where = f"(where {column.when})" if column.when else ""
    return " ".join(filter(None, [column.text, where])).replace("|", "\\|")


def cells(column: Column) -> str:
    """What the cells of a column may be: type, unit, limits or values."""
    if column.values is not None:
        return ", ".join(str(value) for value in column.values)
    limits = ""
    if column.min is not None and column.max is not None:
        limits = f"{column.min} to {column.max}"
    elif column.min is not None:
        limits = f"from {column.min} on"
    elif column.max is not None:
        limits = f"up to {column.max}"
    kind = {"boolean": "True, False", "any": "as declared", "integer": "whole number"}.get(column.type, column.type)
    return ", ".join(filter(None, [kind, column.unit, limits]))
