"""Cells of ready tables as ids and numbers, and how messages name patients and columns."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from recur.tables import NAMED, first_of

NUMBER_LIKE = re.compile(r"[<>≤≥~]?\s*[-+−]?\d[\d.,'\s]*(?:e[-+]?\d+)?\s*%?", re.IGNORECASE)
VERSION = re.compile(r"\d+\.\d+\.\d+")
FEW_WORDS = 10


def ids_of(column: pd.Series) -> pd.Series:
    """Patient ids as text without blanks around them, "" where there is none; 7.0 of a binary format is 7."""
    if pd.api.types.is_float_dtype(column):
        integers = column.dropna() % 1 == 0
        column = column.astype("Int64") if integers.all() else column
    return column.astype("string").str.strip().fillna("").astype(object)


def who(patients: Iterable[str]) -> str:
    """`patient P1`, or `4 patients (P1, P2, P3, ...)`."""
    patients = list(patients)
    if len(patients) == 1:
        return f"patient {patients[0]}"
    return f"{len(patients)} patients ({first_of(patients)})"


def few(names: Iterable[str]) -> str:
    """The first names of a list, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def told_apart(table: pd.DataFrame, ids: pd.Series) -> list[str]:
    """Columns of a few words each, such as a phase or a reader, in which the rows of one patient differ."""
    columns = []
    for name in table:
        cells = table[name].astype(str)
        words = pd.to_numeric(cells, errors="coerce").isna().all() and cells.nunique() <= FEW_WORDS
        if words and cells.groupby(ids.to_numpy()).nunique().max() > 1:
            columns.append(name)
    return columns


def numbers_of(table: pd.DataFrame, missing: list[str]) -> pd.DataFrame:
    """Cells as finite numbers; NaN for text, dates, infinities, and the cells that are said to mean missing."""
    read = {}
    for name in table.columns:
        cells = table[name]
        if pd.api.types.is_datetime64_any_dtype(cells):
            read[name] = pd.Series(np.nan, index=cells.index)
            continue
        numbers = pd.to_numeric(cells, errors="coerce").astype(float)
        codes = [code for code in (pd.to_numeric(text, errors="coerce") for text in missing) if pd.notna(code)]
        gone = numbers.isin(codes) | cells.astype(str).isin(missing)
        read[name] = numbers.mask(gone | ~np.isfinite(numbers))
    return pd.DataFrame(read, index=table.index)


def counts_rows(numbers: pd.Series) -> bool:
    """Whether a column only numbers the rows (from 0 or 1), or holds one number throughout."""
    steps = np.diff(numbers.to_numpy())
    return bool((steps == 1).all() or (steps == 0).all())


def looks_like_numbers(cells: pd.Series) -> bool:
    """Whether most cells of a text column would be numbers but for a comma, a sign or a unit."""
    text = cells.dropna().astype(str).str.strip()
    like = text.map(lambda cell: bool(NUMBER_LIKE.fullmatch(cell)) and not VERSION.match(cell))
    return bool(len(text)) and like.mean() > 0.5


def is_standardised(values: pd.Series) -> bool:
    """Whether a column has mean 0 and SD 1: somebody made z-scores of it."""
    return abs(values.mean()) < 0.05 and abs(values.std() - 1) < 0.05


def missing_cells(values: pd.DataFrame, cells: pd.DataFrame | None = None) -> pd.DataFrame:
    """Every feature that a patient lacks: patient_id, feature, reason (`missing`, or the cell that is no number).

    values by patient id; cells: the table as it was read, where it is at hand.
    """
    row, column = np.nonzero(values.isna().to_numpy())
    patients, names = values.index[row], values.columns[column]
    reasons = ["missing"] * len(row)
    if cells is not None:
        first = cells[~cells.index.duplicated()].loc[values.index]
        reasons = [said_of(cell) for cell in first.to_numpy(object)[row, column]]
    return pd.DataFrame({"patient_id": patients, "feature": names, "reason": reasons})


def said_of(cell: Any) -> str:
    """Why a cell is no feature's value; a number that is none is a code, or that of a lesion among others."""
    if pd.isna(cell) or not str(cell).strip() or np.isfinite(pd.to_numeric(cell, errors="coerce")):
        return "missing"
    return f"{cell!r} is no number"
