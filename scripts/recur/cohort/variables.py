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
        said = f"column {variable['column']}, value {{}}: "
        if variable["kind"] == "numeric":
            values[name] = number_or_limit(text)
            expected = "a number"
        elif variable["kind"] == "list":
            found = [(row, part) for row in table.index[text.notna()] for part in text[row].split(";")]
            low, high = variable.get("range", (-np.inf, np.inf))
            for row in dict.fromkeys(row for row, part in found if not low <= as_number(part) <= high):
                problems.append(Problem(row, f"{said}not numbers from {low:g} to {high:g}", (text[row],)))
            values[name] = text
            continue
        else:
            codes = {level: float(code) for code, level in enumerate(coding.levels_of(variable))}
            values[name] = coding.as_declared(text, codes).map(codes).astype(float)
            expected = f"one of {', '.join(codes)}"
        for row in table.index[text.notna() & values[name].isna()]:
            remedy = "; write a decimal point" if DECIMAL_COMMA.fullmatch(text[row]) else ""
            if text[row].lower() in coding.MEANS_UNKNOWN:
                remedy = "; leave the cell empty, or declare it under missing_values"
            problems.append(Problem(row, f"{said}not {expected}{remedy}", (text[row],)))
        if "range" in variable:
            low, high = variable["range"]
            allowed = f"{low:g} to {high:g} {variable['unit']}".rstrip()
            for row in table.index[(values[name] < low) | (values[name] > high)]:
                problems.append(Problem(row, f"{said}outside {allowed}", (text[row],)))
        if variable["transform"] == "ln":
            for row in table.index[values[name] < 0]:
                problems.append(Problem(row, f"{said}negative, and it has a logarithm taken", (text[row],)))
        if "floor" in variable:
            values[name] = values[name].clip(lower=variable["floor"])
        elif variable["transform"] == "ln":
            for row in table.index[values[name] == 0]:
                problems.append(Problem(row, f"{said}has no logarithm; declare `floor`", (text[row],)))
    return values, problems


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
