"""Sheets of XLSX files as rows of text, with what a spreadsheet hides or could not compute said instead of dropped."""

from __future__ import annotations

import datetime
import warnings
import zipfile
from pathlib import Path
from typing import Any

import openpyxl

from recur.tables import StudyError, first_of

OLD_OFFICE = bytes.fromhex("d0cf11e0a1b11ae1")  # .xls, and what Office encrypts


def read_sheet(path: Path, sheet: str | None = None) -> list[list[str | None]]:
    """The rows of a sheet as text, None for an empty cell; dates as yyyy-mm-dd, whole numbers without `.0`.

    sheet: its name; without one, the only sheet that is visible and holds more than one row and column. An error cell
    is its text, such as `#N/A`, so that it is never taken for a missing value.
    Raises StudyError for a choice between sheets, formulas without a stored value, merged cells and hidden rows.
    """
    with path.open("rb") as file:
        if file.read(8) == OLD_OFFICE:
            raise StudyError(f"{path}: has a password, or is an old .xls; save it without one, as .xlsx")
    warnings.filterwarnings("ignore", module="openpyxl")  # of extensions of the format that hold no cells
    chosen = _choose(openpyxl.load_workbook(path, data_only=True), path, sheet)
    problems = _hidden_and_merged(chosen)
    if _has_formulas(path):
        problems += _not_computed(openpyxl.load_workbook(path)[chosen.title], chosen)
    if problems:
        raise StudyError(f"{path}: sheet {chosen.title!r}: {problem}" for problem in problems)
    return [[_text(value) for value in row] for row in chosen.iter_rows(values_only=True)]


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
            f"{path}: several sheets hold a table: {titles}; hide the others, or save the one that is meant alone"
        )
    return tables[0] if tables else seen[0]


def _hidden_and_merged(sheet: Any) -> list[str]:
    hidden = [number for number, row in sheet.row_dimensions.items() if row.hidden and number <= sheet.max_row]
    hidden = [number for number in hidden if any(cell.value is not None for cell in sheet[number])]
    problems = []
    if hidden:
        rows = first_of(sorted(hidden))
        problems.append(f"{len(hidden)} rows are hidden ({rows}); show them (remove the filter), or delete them")
    merged = sorted(str(cells) for cells in sheet.merged_cells.ranges)
    if merged:
        problems.append(f"merged cells ({first_of(merged)}); split them and fill each cell")
    return problems


def _has_formulas(path: Path) -> bool:
    """Whether any sheet holds a formula: looked for as bytes, since a second reading of a large table is slow."""
    with zipfile.ZipFile(path) as package:
        names = [name for name in package.namelist() if "worksheets/" in name]
        return any(b"<f" in package.read(name) for name in names)


def _not_computed(formulas: Any, values: Any) -> list[str]:
    empty = [
        cell.coordinate
        for row in formulas.iter_rows()
        for cell in row
        if cell.data_type == "f" and values[cell.coordinate].value is None
    ]
    if not empty:
        return []
    return [
        f"{len(empty)} formulas without a stored value ({first_of(empty)}); open and save it in the spreadsheet program"
    ]


def _text(value: Any) -> str | None:
    """A cell as a CSV of the same sheet would have it."""
    if isinstance(value, datetime.datetime):
        at_midnight = value.time() == datetime.time()
        return value.date().isoformat() if at_midnight else value.isoformat(sep=" ")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return None if value is None else str(value)
