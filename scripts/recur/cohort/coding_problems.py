"""Columns of the clinical table that are coded in another way than the study declares.

A cell of another coding is not one patient's error. R's 1/2 read as 0/1 would drop the events and turn the censored
into events, so such a column stops the run whatever `on_error` says, with what was problems and what to declare.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from recur.cohort.time_units import impossible_times
from recur.study.coding import FEWEST, FLAG_NO, FLAG_YES, FREQUENT, as_declared, beyond, levels_of, mapping, values_of

LARGEST_CM = 30  # a larger median of recurrent tumours is in millimetres


def outcome_problems(table: pd.DataFrame, endpoints: dict[str, Any]) -> list[str]:
    """Lines on columns of outcomes that hold a cell which the endpoint does not declare: any number of them stops."""
    problems = []
    for name, endpoint in endpoints.items():
        if endpoint["kind"] == "recorded":
            problems += [f"endpoint {name}: {text}" for text in _event_problems(table, endpoint)]
        elif "column" in endpoint:
            text = _levels_problem(table[endpoint["column"]], levels_of(endpoint), endpoint["kind"] == "binary")
            problems += [f"endpoint {name}: column {endpoint['column']} {text}"] if text else []
    return problems


def _event_problems(table: pd.DataFrame, endpoint: dict[str, Any]) -> list[str]:
    keys = ["event_value", "censored_value"]
    if "competing_value" in endpoint and "competing" not in endpoint:
        keys.append("competing_value")
    declared = {key: str(endpoint[key]) for key in keys}
    column = endpoint["event"]
    cells = as_declared(table[column], declared.values())
    problems = []
    strange = beyond(cells, declared.values())
    if len(strange):
        said = ", ".join(f"{key} {value!r}" for key, value in declared.items())
        remedy = mapping(cells, "censored_value", "event_value", "competing_value")
        problems.append(f"column {column} holds {values_of(cells)}, beyond the declared {said}; {remedy}")
    elif cells.nunique() == 1 and cells.isna().sum() >= max(FEWEST, FREQUENT * len(cells)):
        problems.append(
            f"column {column} holds {values_of(cells)} and {cells.isna().sum()} empty cells; if these mean something, "
            "such as censored, write it into them"
        )
    if "competing" in endpoint:
        competing_column = endpoint["competing"]
        competing_value = str(endpoint["competing_value"])
        cells = as_declared(table[competing_column], [competing_value])
        if cells.nunique() > 1 and not (cells == competing_value).any():
            problems.append(
                f"column {competing_column} holds {values_of(cells)} and nowhere the declared competing_value "
                f"{competing_value!r}; declare the cell that means the competing event"
            )
    return problems


def _levels_problem(cells: pd.Series, levels: list[Any], binary: bool) -> str:
    """What is wrong with a column of levels, empty if nothing is."""
    cells = as_declared(cells, levels)
    if beyond(cells, levels).empty:
        return ""
    remedy = mapping(cells, "negative", "positive")
    if not binary:
        remedy = "declare all levels; what means unknown, under clinical.missing_values"
    said = ", ".join(repr(str(level)) for level in levels)
    return f"holds {values_of(cells)}, beyond the declared {said}; {remedy}"


def variable_problems(table: pd.DataFrame, variables: dict[str, Any]) -> list[str]:
    """Lines on clinical variables with an undeclared level that is too frequent to be an error of single cells."""
    problems = []
    for variable in variables.values():
        if variable["kind"] in ("numeric", "list"):
            continue
        binary = variable["kind"] == "binary"
        cells = table[variable["column"]]
        levels = levels_of(variable)
        strange = beyond(as_declared(cells, levels), levels)
        most = strange.value_counts().max() if len(strange) else 0
        if most >= max(FEWEST, FREQUENT * cells.notna().sum()):
            problems.append(f"column {variable['column']} {_levels_problem(cells, levels, binary)}")
    return problems


def rule_problems(table: pd.DataFrame, rules: list[dict[str, Any]]) -> list[str]:
    """Lines on rules of eligibility of which no cell is one that they keep: nobody would be left."""
    problems = []
    for rule in rules:
        cells = as_declared(table[rule["column"]], rule["keep"])
        if cells.notna().any() and not cells.isin([str(value) for value in rule["keep"]]).any():
            kept = ", ".join(repr(str(value)) for value in rule["keep"])
            problems.append(
                f"clinical.eligibility: column {rule['column']} holds {values_of(cells)} and nowhere {kept}, which is "
                "to be kept; declare the cells as the table writes them"
            )
    return problems


def pattern_problems(table: pd.DataFrame, columns: dict[str, str]) -> list[str]:
    """Lines on columns of the first recurrence (clinical.recurrence) that are not as the rule of Milan needs them."""
    problems = []
    for name in ("vascular", "extrahepatic"):
        cells = as_declared(table[columns[name]], ("0", "1"))
        if len(beyond(cells, ("0", "1"))):
            problems.append(
                f"clinical.recurrence.{name}: column {columns[name]} holds {values_of(cells)}, it must hold 0 and 1; "
                "recode it, what means unknown under clinical.missing_values"
            )
    for name in ("number", "size"):
        cells = table[columns[name]]
        strange = cells[cells.notna() & pd.to_numeric(cells, errors="coerce").isna()]
        if len(strange):
            problems.append(
                f"clinical.recurrence.{name}: column {columns[name]} holds {values_of(strange)}, which is no number; "
                "correct it, what means unknown under clinical.missing_values"
            )
    median = pd.to_numeric(table[columns["size"]], errors="coerce").median()
    if median > LARGEST_CM:
        problems.append(
            f"clinical.recurrence.size: column {columns['size']}: median {median:g} cm; is it in millimetres?"
        )
    return problems


def flag_problems(table: pd.DataFrame, dates: dict[str, str]) -> list[str]:
    """Lines on flags beside dates that are not plainly yes or no: R's 1/2 would contradict every date."""
    problems = []
    for key in ("recurrence_flag", "death_flag"):
        if key not in dates:
            continue
        cells = as_declared(table[dates[key]], ("0", "1"))
        if not cells.dropna().str.lower().isin(FLAG_NO | FLAG_YES).all():
            problems.append(
                f"clinical.dates.{key}: column {dates[key]} holds {values_of(cells)}, it must hold 0 and 1 (or words "
                "such as no and yes); recode it, or leave the flag out"
            )
    return problems


def column_problems(
    table: pd.DataFrame, study: dict[str, Any], variables: dict[str, Any], centre: pd.Series
) -> list[str]:
    """Lines on columns that are coded in another way than the study declares; they stop the run whatever `on_error`."""
    clinical = study["clinical"]
    kinds = {endpoint["kind"] for endpoint in study["endpoints"].values()}
    problems = outcome_problems(table, study["endpoints"]) + variable_problems(table, variables)
    problems += impossible_times(table, study["endpoints"], centre)
    problems += flag_problems(table, clinical.get("dates", {}))
    if "aggressive_recurrence" in kinds:
        problems += pattern_problems(table, clinical["recurrence"])
    return problems
