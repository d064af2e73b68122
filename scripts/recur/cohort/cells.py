"""The clinical table as text, with every cell as the study means it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from recur.cohort.columns import cells_named, check_columns, named_cells, wanted_columns
from recur.cohort.dates import ISO, as_iso
from recur.cohort.dates import NAMES as DATES
from recur.cohort.repeated_rows import one_row_a_patient
from recur.study import coding
from recur.study.facts import is_row_a_phase
from recur.tables import LABELS, REMARKS, StudyError, id_columns, read_table, with_id

NO_WIDTH = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))  # copied from web pages and PDF
ODD = "[\u200b\u200c\u200d\u2060\ufeff\u00ad\u2212\uff00-\uffef]"
WIDE_NUMBER = r"[-−－＜＞<>≤≥]?[\d０-９.．/／−－-]+"


def clinical_cells(study: dict[str, Any]) -> tuple[pd.DataFrame, list[str]]:
    """The clinical table as text, for everything that reads it: blanks around cells and cells that mean missing gone,
    dates as yyyy-mm-dd, rows of one patient's events joined (recur.cohort.repeated_rows); and notes on rows that are
    gone.

    Row i is line i + 2 of the file. Raises StudyError for a table that cannot be read, or lacks a column.
    """
    clinical = study["clinical"]
    wanted = {column for _, column in wanted_columns(study)}
    looked_at = wanted | set(id_columns(clinical["id"]))
    read = with_id(read_table(clinical["table"], clinical.get("sheet"), looked_at.__contains__), clinical["id"])
    check_columns(read, study, Path(clinical["table"]))
    path, variables = clinical["table"], clinical["variables"]
    table, notes = cells_of(read, path, clinical["missing_values"], variables, wanted, named_cells(study))
    dates = [column for key, column in clinical.get("dates", {}).items() if key in DATES]
    written = clinical.get("date_format", ISO)
    table = table.assign(**{column: as_iso(table[column], written) for column in dates})
    stray = table[list(wanted)].isna().all(axis=1)  # a remark below the table, a sum beside it
    notes += [f"{stray.sum()} rows without an id and without a used cell left out"] if stray.any() else []
    table, alike = one_of_phases(table[~stray], study, wanted)
    try:
        table, joined = one_row_a_patient(table, clinical["id"], wanted, clinical.get("eligibility", []))
    except StudyError as error:
        raise StudyError(f"{clinical['table']}: {problem}" for problem in error.problems) from None
    return table, notes + alike + joined


def one_of_phases(table: pd.DataFrame, study: dict[str, Any], wanted: set[str]) -> tuple[pd.DataFrame, list[str]]:
    """Of a clinical table that is the feature table with a row a phase: one row of those that are alike in the columns
    that the study names, and a note. Rows of a patient that differ there stay, and are refused as any others."""
    if not is_row_a_phase(study):
        return table, []
    kept = table[table[study["clinical"]["id"]].isna() | ~table.duplicated(sorted(wanted))]
    return kept, [f"{len(table)} rows, one a phase, are {len(kept)} patients"]


def cells_of(
    read: pd.DataFrame,
    path: str | Path,
    missing: list[Any],
    variables: dict[str, Any],
    used: set[str],
    named: dict[str, list[Any] | None] | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """The cells of a table that was read, as a study means them: without blanks around them and cells that mean
    missing, with labels of SPSS and Stata where the study names labels (coding.by_labels); and a line on each of `used`
    whose labels or declared missing values the file holds.

    named: by column the cells that the study names besides those of the variables, None for a column of numbers. Raises
    StudyError for a name that may be a code or a label.
    """
    table = without_codes(stripped(read), missing, variables)
    notes = [
        f"column {column}: {text}" for column, text in read.attrs.get(REMARKS, {}).items() if text and column in used
    ]
    labels = {column: texts for column, texts in read.attrs.get(LABELS, {}).items() if column in used}
    if not labels:
        return table, notes
    cells = {variable["column"]: cells_named(variable) for variable in variables.values()} | (named or {})
    try:
        table, said = coding.by_labels(table, labels, cells)
    except StudyError as error:
        raise StudyError(f"{path}: {problem}" for problem in error.problems) from None
    return without_codes(table, missing, variables), notes + said


def without_codes(table: pd.DataFrame, missing: list[Any], variables: dict[str, Any]) -> pd.DataFrame:
    """The table without cells that mean missing: `missing` in every column, those of a variable in its own.

    A code that is a whole number also means the `-9.0` that programs write beside gaps.
    """
    codes = {name: list(missing) for name in table}
    for variable in variables.values():
        if variable["column"] in codes:
            codes[variable["column"]] += variable.get("missing_values", [])
    gone = {name: coding.as_declared(table[name], codes[name]).isin(map(str, codes[name])) for name in table}
    return table.mask(pd.DataFrame(gone, index=table.index).astype(bool)) if any(codes.values()) else table


def stripped(table: pd.DataFrame) -> pd.DataFrame:
    """All cells as text without blanks around them, no-break spaces among these, and without signs of no width; numbers
    and dates of an Asian keyboard as they are meant (１２．５); blank cells are missing.
    """
    table = table.astype("string").apply(_plain_text)
    return table.mask(table == "")


def _plain_text(cells: pd.Series) -> pd.Series:
    cells = cells.str.strip()
    odd = cells.str.contains(ODD, na=False).astype(bool)
    if not odd.any():
        return cells
    text = cells[odd].str.translate(NO_WIDTH).str.strip()
    return cells.mask(odd, text.where(~text.str.fullmatch(WIDE_NUMBER), text.str.translate(coding.SIGNS)))
