"""Clinical variables as numbers, checked cell by cell (docs/methods.md 3.1)."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from recur.cohort.exclusions import by_id
from recur.study import coding
from recur.tables import Problem, grouped

DECIMAL_COMMA = re.compile(r"[<>]?\s*-?\d+,\d+")


def describe_variables(
    table: pd.DataFrame, variables: dict[str, Any], ids: pd.Series
) -> tuple[pd.DataFrame, list[str]]:
    """Variables that no model, score or comparison uses, as `read_variables` has them but with NaN for bad cells, and
    a note on these. They exclude nobody.
    """
    columns = [pd.DataFrame(index=table.index)]
    notes = []
    for name, variable in variables.items():
        values, problems = read_variables(table, {name: variable}, ids)
        rows = [problem.who for problem in problems]
        lines = unit_problems(values, {name: variable}) + grouped(by_id(problems, ids))
        notes += [f"{name} is in no model, so this excludes nobody and such cells count as missing: {s}" for s in lines]
        columns.append(values[name].mask(values.index.isin(rows)))
    return pd.concat(columns, axis=1), notes


def read_variables(
    table: pd.DataFrame, variables: dict[str, Any], ids: pd.Series
) -> tuple[pd.DataFrame, list[Problem]]:
    """Declared variables as numbers (binary 0/1, ordinal and categorical the place of the level), and problems."""
    values = pd.DataFrame(index=table.index)
    problems = []
    for name, variable in variables.items():
        text = table[variable["column"]]
        if variable["kind"] == "list":
            values[name] = text
            problems += list_problems(text, variable)
            continue
        values[name], expected = coded(text, variable)
        problems += unreadable(text, values[name], variable, expected)
        problems += out_of_range(text, values[name], variable)
        if "floor" in variable:
            values[name] = values[name].clip(lower=variable["floor"])
    return values, problems


def coded(text: pd.Series, variable: dict[str, Any]) -> tuple[pd.Series, str]:
    """The cells of a variable as numbers, NaN where they are none, and what they were expected to be."""
    if variable["kind"] == "numeric":
        return number_or_limit(text), "a number"
    codes = {level: float(code) for code, level in enumerate(coding.levels_of(variable))}
    return coding.as_declared(text, codes).map(codes).astype(float), f"one of {', '.join(codes)}"


def cell_problem(row: Any, text: pd.Series, variable: dict[str, Any], what: str) -> Problem:
    return Problem(row, f"column {variable['column']}, value {{}}: {what}", (text[row],))


def list_problems(text: pd.Series, variable: dict[str, Any]) -> list[Problem]:
    """Cells of several numbers, parted by `;`, one of which is no number or outside of the declared range."""
    low, high = variable.get("range", (-np.inf, np.inf))
    what = f"not numbers from {low:g} to {high:g}"
    return [
        cell_problem(row, text, variable, what)
        for row in text.index[text.notna()]
        if not all(low <= as_number(part) <= high for part in text[row].split(";"))
    ]


def unreadable(text: pd.Series, values: pd.Series, variable: dict[str, Any], expected: str) -> list[Problem]:
    """Cells that hold something, but no value of the variable."""
    problems = []
    for row in text.index[text.notna() & values.isna()]:
        remedy = ""
        if text[row].lower() in coding.MEANS_UNKNOWN:
            remedy = "; leave the cell empty, or declare it under missing_values"
        elif DECIMAL_COMMA.fullmatch(text[row]):
            remedy = "; write a decimal point"
        problems.append(cell_problem(row, text, variable, f"not {expected}{remedy}"))
    return problems


def out_of_range(text: pd.Series, values: pd.Series, variable: dict[str, Any]) -> list[Problem]:
    """Values outside of the declared range, and those of which there is no logarithm where one is taken."""
    problems = []
    if "range" in variable:
        low, high = variable["range"]
        allowed = f"{low:g} to {high:g} {variable['unit']}".rstrip()
        outside = (values < low) | (values > high)
        problems += [cell_problem(row, text, variable, f"outside {allowed}") for row in values.index[outside]]
    if variable["transform"] != "ln":
        return problems
    what = "negative, and it has a logarithm taken"
    problems += [cell_problem(row, text, variable, what) for row in values.index[values < 0]]
    if "floor" not in variable:
        what = "has no logarithm; declare `floor`"
        problems += [cell_problem(row, text, variable, what) for row in values.index[values == 0]]
    return problems


def number_or_limit(text: pd.Series) -> pd.Series:
    """Numbers; `<x`, below the limit of detection, is half of x, and `>x` is x (docs/methods.md 3.1)."""
    text = text.str.translate(coding.SIGNS)
    limit = text.str.extract(r"^([<>])=?\s*(.+)$")
    number = pd.to_numeric(limit[1].fillna(text), errors="coerce").astype(float)
    number = number.where(np.isfinite(number))
    return number.where(limit[0].fillna("") != "<", number / 2)


def limit_warnings(table: pd.DataFrame, variables: dict[str, Any]) -> list[str]:
    """How many cells of each numeric column were beyond the limit of detection."""
    warnings = []
    for variable in variables.values():
        beyond = int(table[variable["column"]].str.match(r"^[<>≤≥＜＞]").sum()) if variable["kind"] == "numeric" else 0
        if beyond:
            warnings.append(f"column {variable['column']}: {beyond} cells written <x or >x were read as x/2 or x")
    return warnings


def as_number(text: str) -> float:
    """The number a text holds, NaN if none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def unit_problems(values: pd.DataFrame, variables: dict[str, Any]) -> list[str]:
    """The unit-swap detector of docs/methods.md 3.1: a median outside its plausible range stops the run."""
    problems = []
    for name, variable in variables.items():
        if "median" in variable and values[name].notna().any():
            low, high = variable["median"]
            median = values[name].median()
            if not low <= median <= high:
                problems.append(
                    f"column {variable['column']}: median {median:g} is implausible in {variable['unit']} "
                    f"(expected {low:g} to {high:g}); is it in another unit? Nothing is converted silently"
                )
    return problems
