"""Ids and centres of patients: unsafe, not unique, or one under two names."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from recur.tables import PATIENT_ID, Problem, first_of, plain_cell

TOTALS = re.compile(r"(?i)(grand )?totals?|sum|mean|average|median|count|n ?= ?\d+|summe|mittelwert")
APART, FEWEST_OF_CENTRE = 8, 5  # factor between medians of centres, and patients of a centre who have one


def id_problems(ids: pd.Series) -> list[Problem]:
    """Rows whose id is missing, unsafe as a file name, or not unique."""
    problems: list[Problem] = []
    for row in ids.index:
        if pd.isna(ids[row]):
            problems.append(Problem(row, "patient id missing"))
        elif TOTALS.fullmatch(ids[row]):
            problems.append(Problem(row, "patient id {}: a row of totals? delete it", (ids[row],)))
        elif not PATIENT_ID.fullmatch(ids[row]):
            text = "patient id {}: only letters, digits, '.', '_' and '-' (at most 64)"
            problems.append(Problem(row, text, (ids[row],)))
    problems += [
        Problem(row, "the same patient id on several rows")
        for row in ids.index[ids.notna() & ids.duplicated(keep=False)]
    ]
    return problems


def id_warnings(ids: pd.Series) -> list[str]:
    """Ids that only capital letters, or zeros before or behind a number, tell apart: one patient twice?"""
    known = ids.dropna().drop_duplicates()
    warnings = []
    zeros = known.str.replace(r"^0+(?=\d)|\.0+$", "", regex=True)
    for plain, differ in ((known.str.lower(), "capital letters"), (zeros, "zeros")):
        alike = sorted(known[plain.duplicated(keep=False)])
        if alike:
            warnings.append(f"ids that differ in {differ} only: {first_of(alike, 10)}; one patient twice?")
    return warnings


def centre_warnings(centre: pd.Series, values: pd.DataFrame, variables: dict[str, Any]) -> list[str]:
    """Centres that only capital letters tell apart, and variables whose values lie apart between centres by a factor
    (APART) such as that of a unit: quartiles do not overlap.
    """
    names = pd.Series(sorted(set(centre) - {""}), dtype="string")
    alike = names[names.str.lower().duplicated(keep=False)]
    warnings = [f"centres that differ in capital letters only: {', '.join(alike)}; one centre?"] if len(alike) else []
    for name, variable in variables.items():
        if variable["kind"] != "numeric" or not len(names):
            continue
        for centre_name in names:
            here, elsewhere = (
                values.loc[rows, name].dropna() for rows in (centre == centre_name, ~centre.isin([centre_name, ""]))
            )
            if min(len(here), len(elsewhere)) < FEWEST_OF_CENTRE or min(here.median(), elsewhere.median()) <= 0:
                continue
            lower, upper = sorted((here, elsewhere), key=lambda part: part.median())
            apart = lower.quantile(0.75) < upper.quantile(0.25)
            if apart and upper.median() / lower.median() >= APART:
                warnings.append(
                    f"column {variable['column']}: the median is {here.median():g} in centre {centre_name!r} and "
                    f"{elsewhere.median():g} elsewhere: is it in another unit in one of them?"
                )
                break
    return warnings


def centre_problems(centre: pd.Series) -> list[Problem]:
    """Rows whose centre a spreadsheet would take for a formula: their names stand in every table."""
    return [
        Problem(row, "centre {}: begins with {}", (name, name[0]))
        for row, name in centre.items()
        if plain_cell(name) != name
    ]
