"""Sheets of XLSX files as rows of text, with what a spreadsheet hides or could not compute said instead of dropped."""

from __future__ import annotations

import datetime
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import openpyxl

from recur.tables import StudyError, first_of

OLD_OFFICE = bytes.fromhex("d0cf11e0a1b11ae1")  # .xls, and what Office encrypts


REMEDIES = {
    "rows are hidden": "show them (remove the filter), or delete them",
    "merged cells": "split them and fill each cell",
    "formulas without a stored value": "open and save it in the spreadsheet program",
}


class Doubt(NamedTuple):
    """Cells that may not mean what they show: what it is (a key of REMEDIES), where, and their columns from 0."""

    what: str
    place: str
    columns: tuple[int, ...]


def read_sheet(path: Path, sheet: str | None = None) -> tuple[list[list[str | None]], list[Doubt], str]:
    """The rows of a sheet as text, None for an empty cell; dates as yyyy-mm-dd, whole numbers without `.0`. With them
    the cells in doubt (hidden rows, merged cells, formulas without a stored value), and the name of the sheet.

    sheet: its name; without one, the only sheet that is visible and holds more than one row and column. An error cell
    is its text, such as `#N/A`, so that it is never taken for a missing value.
    Raises StudyError for a choice between sheets.
    """
    with path.open("rb") as file:
        if file.read(8) == OLD_OFFICE:
            raise StudyError(f"{path}: has a password, or is an old .xls; save it without one, as .xlsx")
    warnings.filterwarnings("ignore", module="openpyxl")  # of extensions of the format that hold no cells
    chosen = _choose(openpyxl.load_workbook(path, data_only=True), path, sheet)
    doubts = _hidden(chosen) + _merged(chosen)
    if _has_formulas(path):
        doubts += _not_computed(openpyxl.load_workbook(path)[chosen.title], chosen)
    return [[_text(value) for value in row] for row in chosen.iter_rows(values_only=True)], doubts, chosen.title


def stop_at_doubts(doubts: list[Doubt], header: list[str | None], used: Callable[[str], Any], where: str) -> None:
    """Raise StudyError with a line for each kind of doubt that touches a column which is used."""
    names = [" ".join((name or "").split()) for name in header]
    wanted = {place for place, name in enumerate(names) if name and used(name)}
    problems = []
    for what, remedy in REMEDIES.items():
        places = [doubt.place for doubt in doubts if doubt.what == what and wanted & set(doubt.columns)]
        if places:
            problems.append(f"{where}: {len(places)} {what} ({first_of(places)}); {remedy}")
    if problems:
        raise StudyError(problems)


def _choose(book: Any, path: Path, name: str | None) -> Any:
    """The sheet of that name, or the only one that can be meant."""
    names = [sheet.title for sheet in book.worksheets]
    if name is not None:
        if name not in names:
            raise StudyError(f"{path}: no sheet {name!r}; its sheets are {', '.join(map(repr, names))}")
        return book[name]
    seen = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    if not seen:
        raise StudyError(
            f"{path}: all its sheets are hidden: {', '.join(map(repr, names))}; show the one that is meant"
        )
    # a page of remarks is no table, and neither is an empty sheet
    tables = [sheet for sheet in seen if sheet.max_row > 1 and sheet.max_column > 1]
    if len(tables) > 1:
        titles = ", ".join(repr(sheet.title) for sheet in tables)
        raise StudyError(
            f"{path}: several sheets hold a table: {titles}; name one (`sheet:` in the study file, --sheet of "
            "score.py), or hide the others"
        )
    return tables[0] if tables else seen[0]


def _hidden(sheet: Any) -> list[Doubt]:
    """Hidden rows, with the columns in which they hold something."""
    numbers = sorted(n for n, row in sheet.row_dimensions.items() if row.hidden and n <= sheet.max_row)
    filled = {n: tuple(k for k, cell in enumerate(sheet[n]) if cell.value is not None) for n in numbers}
    return [Doubt("rows are hidden", str(n), columns) for n, columns in filled.items() if columns]


def _merged(sheet: Any) -> list[Doubt]:
    """Merged cells that hold something: it stands in the first of them only."""
    filled = [
        cells for cells in sheet.merged_cells.ranges if sheet.cell(cells.min_row, cells.min_col).value is not None
    ]
    return [
        Doubt("merged cells", str(cells), tuple(range(cells.min_col - 1, cells.max_col)))
        for cells in sorted(filled, key=lambda cells: (cells.min_row, cells.min_col))
    ]


def _has_formulas(path: Path) -> bool:
    """Whether any sheet holds a formula: looked for as bytes, since a second reading of a large table is slow."""
    with zipfile.ZipFile(path) as package:
        names = [name for name in package.namelist() if "worksheets/" in name]
        return any(b"<f" in package.read(name) for name in names)


def _not_computed(formulas: Any, values: Any) -> list[Doubt]:
    """Formulas that no program has computed yet; a computed empty text is an empty cell."""
    found = []
    for row in formulas.iter_rows():
        # formulas filled down below the last patient are no data
        if any(values[cell.coordinate].value is not None for cell in row):
            found += [cell for cell in row if cell.data_type == "f" and _unknown(values[cell.coordinate])]
    return [Doubt("formulas without a stored value", cell.coordinate, (cell.column - 1,)) for cell in found]


def _unknown(cell: Any) -> bool:
    return cell.value is None and cell.data_type != "str"


def _text(value: Any) -> str | None:
    """A cell as a CSV of the same sheet would have it."""
    if isinstance(value, datetime.datetime):
        at_midnight = value.time() == datetime.time()
        return value.date().isoformat() if at_midnight else value.isoformat(sep=" ")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return None if value is None else str(value)
