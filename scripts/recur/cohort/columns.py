"""Columns of the clinical table that a study names, and the cells of them that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from recur.cohort.split import centres_named
from recur.study import coding
from recur.study.facts import splits_of
from recur.tables import StudyError

OUTCOME_COLUMNS = ("time", "event", "competing", "competing_time", "column")  # keys of an endpoint that name a column
FIXED = ("t0_kind", "cutoff", "export")  # keys of the dates that name no column


def cells_named(variable: dict[str, Any]) -> list[Any] | None:
    """The cells that a variable or endpoint declares; None of a number."""
    return None if variable["kind"] in ("numeric", "list") else coding.levels_of(variable)


def named_cells(study: dict[str, Any]) -> dict[str, list[Any] | None]:
    """By column of the clinical table, besides those of variables, the cells that the study names; None of numbers."""
    clinical = study["clinical"]
    splits = splits_of(study).values()
    cells_by_column: dict[str, list[Any] | None] = {clinical["id"]: None}
    for key, column in clinical.get("recurrence", {}).items():
        cells_by_column[column] = ["0", "1"] if key in ("vascular", "extrahepatic") else None
    for endpoint in study["endpoints"].values():
        cells_by_column |= {endpoint[key]: None for key in ("time", "competing_time") if key in endpoint}
        if "event" in endpoint:
            values = [endpoint[key] for key in ("event_value", "censored_value", "competing_value") if key in endpoint]
            cells_by_column[endpoint["event"]] = values
        if "competing" in endpoint:
            cells_by_column[endpoint["competing"]] = [endpoint["competing_value"]]
        if "column" in endpoint:
            cells_by_column[endpoint["column"]] = cells_named(endpoint)
    named = [(rule["column"], rule["keep"]) for rule in clinical.get("eligibility", [])]
    named += [(split["column"], [*split["train"], *split["test"]]) for split in splits if "column" in split]
    if clinical["centre"]:
        named.append((clinical["centre"], [name for split in splits for name in centres_named(split)]))
    for column, cells in named:
        cells_by_column.setdefault(column, cells)
    return cells_by_column


def named_columns(study: dict[str, Any]) -> list[str]:
    """Columns of the clinical table that hold what a study knows of a patient: variables, dates, outcomes."""
    clinical = study["clinical"]
    names = [variable["column"] for variable in clinical["variables"].values()]
    names += [column for key, column in clinical.get("dates", {}).items() if key not in FIXED]
    for endpoint in study["endpoints"].values():
        names += [endpoint[key] for key in OUTCOME_COLUMNS if key in endpoint]
    return list(dict.fromkeys(names))


def wanted_columns(study: dict[str, Any]) -> list[tuple[str, str]]:
    """Every column of the clinical table that the study names: its key in the study file, and the column."""
    clinical = study["clinical"]
    wanted = [("clinical.id", clinical["id"])]
    if clinical["centre"]:
        wanted.append(("clinical.centre", clinical["centre"]))
    wanted += [(f"clinical.variables.{name}", v["column"]) for name, v in clinical["variables"].items()]
    dates = clinical.get("dates", {})
    wanted += [(f"clinical.dates.{key}", column) for key, column in dates.items() if key not in FIXED]
    wanted += [(f"clinical.recurrence.{key}", column) for key, column in clinical.get("recurrence", {}).items()]
    wanted += [(f"clinical.eligibility[{i}]", rule["column"]) for i, rule in enumerate(clinical.get("eligibility", []))]
    for name, endpoint in study["endpoints"].items():
        wanted += [(f"endpoints.{name}.{key}", endpoint[key]) for key in OUTCOME_COLUMNS if key in endpoint]
    wanted += [(f"split {name}", split["column"]) for name, split in splits_of(study).items() if "column" in split]
    return wanted


def check_columns(table: pd.DataFrame, study: dict[str, Any], path: Path) -> None:
    """Raise StudyError listing every column that the study names and the table lacks."""
    wanted = wanted_columns(study)
    missing = [f"{path}: no column {column!r} ({place})" for place, column in wanted if column not in table.columns]
    if missing:
        raise StudyError([*missing, f"{path}: its columns are {', '.join(map(str, table.columns))}"])
    if table.empty:
        raise StudyError(f"{path}: no rows below the header; is it the right file and sheet?")
