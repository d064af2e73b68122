"""Tables of REDCap, where a patient has a row for each event or repeated form: made one row a patient, or refused."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from recur.study import coding
from recur.tables import StudyError, first_of

TOLD_APART = re.compile(r"(?i)(redcap[_ ])?(event[_ ]name|repeat[_ ]instrument|repeat[_ ]instance)")


def one_row_a_patient(
    table: pd.DataFrame, id_column: str, used: set[str], rules: list[dict[str, Any]]
) -> tuple[pd.DataFrame, list[str]]:
    """The table without rows of other events, rows that complement each other joined, and a note on what was joined.

    table: cells as text, row i is line i + 2 of the file; used: columns that the study names; rules: the study's
    clinical.eligibility, of which those on a column that differs within patients choose rows.
    Raises StudyError where rows of a patient contradict each other in a used column.
    """
    events = [name for name in table if TOLD_APART.fullmatch(name)]
    if not table[id_column].duplicated().any():
        return table, []
    for rule in rules:
        table = chosen_rows(table, id_column, rule)
    if not events:
        return table, []
    several = table[id_column].notna() & table[id_column].duplicated(keep=False)
    columns = sorted(used - {id_column, *events})
    groups = table[several].groupby(id_column, sort=False)
    counts = groups[columns].nunique()
    if (counts > 1).any(axis=None):
        raise StudyError(contradiction(table[several], counts, events))
    joined = table.copy()
    joined.loc[several, columns] = groups[columns].transform("first")
    joined = joined[~several | ~joined[id_column].duplicated()]
    rows = f"{len(counts)} patients have several rows ({', '.join(events)}), which fill in different columns; joined"
    return joined, [rows] if len(counts) else []


def chosen_rows(table: pd.DataFrame, id_column: str, rule: dict[str, Any]) -> pd.DataFrame:
    """The table with the rows that an eligibility rule keeps, where its column tells rows of one patient apart.

    So of a table with a row for each kind of event (R's `colon`, etype) one kind is analysed. Who has no such row keeps
    the first one, and is not eligible.
    """
    own = table[id_column]
    cells = coding.as_declared(table[rule["column"]], rule["keep"]).fillna("")
    if not (cells.groupby(own).nunique() > 1).any():
        return table
    keep = cells.isin([str(value) for value in rule["keep"]])
    return table[keep | (~own.isin(own[keep]) & ~own.duplicated())]


def contradiction(rows: pd.DataFrame, counts: pd.DataFrame, events: list[str]) -> str:
    """The line on patients whose rows differ in a used column: counts has a row a patient, a column a used column."""
    differ = [name for name in counts if (counts[name] > 1).any()]
    patients = [repr(patient) for patient in counts.index[(counts > 1).any(axis=1)]]
    by = max(events, key=lambda name: rows[name].nunique())
    value = rows[by].dropna().mode().iloc[0] if rows[by].notna().any() else ""
    return (
        f"{len(patients)} patients ({first_of(patients)}) have several rows, told apart by {by} "
        f"({coding.values_of(rows[by])}), that differ in {first_of(differ)}; say which rows are meant, such as "
        f"clinical.eligibility: [{{column: {by}, keep: [{value}]}}]"
    )
