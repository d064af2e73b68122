"""Ready feature tables, as other people's programs wrote them: which columns are features, whose row is whose."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from recur.features.cells import (
    counts_rows,
    few,
    ids_of,
    is_standardised,
    looks_like_numbers,
    missing_cells,
    numbers_of,
    told_apart,
    who,
)
from recur.features.names import FEATURE, SIZE
from recur.features.one_row import one_row_a_patient, one_row_of_phases, phase_of_rows, said_of_phases
from recur.tables import NAMED, PATIENT_ID, REMARKS, StudyError, id_columns, read_table, with_id

STATED = re.compile(r"diagnostics_(?:Versions_PyRadiomics|Configuration_|Image-interpolated_Spacing)")
DIAGNOSTIC = "diagnostics_"  # pyradiomics' own account of an extraction: no features
INDEX = re.compile(r"unnamed: \d+|column\d+|index|row|nr\.?|no\.?|#", re.IGNORECASE)


class Imported(NamedTuple):
    """A feature table as it was read."""

    features: pd.DataFrame  # patient_id and the features, columns by name, rows by patient; NaN where a cell is missing
    missing: pd.DataFrame  # patient_id, feature, reason: the cells that are NaN
    remarks: list[str]  # columns and rows that were left out, a line each
    diagnostics: pd.DataFrame  # patient_id and the settings and version that the table states of its extraction


def read_features(settings: dict[str, Any], path: str | Path, reserved: dict[str, str] | None = None) -> Imported:
    """Read a feature table with one row a patient, or one a lesion where `lesion_aggregate` says how they are joined.

    settings: the study's `features` (id, pattern; sheet, missing_values, phase, phases, lesion_aggregate,
    tumour_volume); reserved: columns that are an outcome, a date, an id, a centre or known after the operation only ->
    the study's key for it. With `phase`, a row a patient and phase: the features are `<phase>_<column>`.
    Raises StudyError, with all problems, for such a column among the features, for features that hold text, for sizes
    below 0, for an id that stands there twice (in a phase) or cannot be one, for a phase that is not declared.
    """
    wanted = re.compile(settings["pattern"])
    not_features = {*id_columns(settings["id"]), settings.get("phase")}
    table = read_table(path, settings.get("sheet"), lambda column: column in not_features or wanted.search(column))
    table = with_id(table, settings["id"])
    for key in ("id", "phase"):
        if settings.get(key) and settings[key] not in table.columns:
            raise StudyError(f"{path}: no column {settings[key]!r} (features.{key})")
    ids = ids_of(table[settings["id"]])
    remarks = []
    blank = ids.eq("")
    if blank.any():
        lines = ", ".join(str(row + 2) for row in np.flatnonzero(blank)[:NAMED])
        remarks.append(f"{blank.sum()} rows without a patient id left out (line {lines})")
        table, ids = table[~blank], ids[~blank]
    rest = table.drop(columns=[name for name in not_features if name in table])
    names, numbers, said = feature_columns(rest, settings, path, reserved or {})
    declared = table.attrs.get(REMARKS, {})
    said += [f"column {name}: {declared[name]}" for name in names if declared.get(name)]
    phases = phase_of_rows(table, ids, settings, path)
    problems = size_problems(numbers, ids, path)
    for phase in [None] if phases is None else settings["phases"]:
        rows = np.ones(len(ids), bool) if phase is None else (phases == str(phase)).to_numpy()
        problems += id_problems(table[rows], ids[rows], settings, path, phase)
    if problems:
        raise StudyError(problems)
    cells = table[names].set_axis(ids, axis=0)
    result = numbers.set_axis(ids, axis=0)
    if phases is not None:
        result, cells, widened = one_row_of_phases(result, cells, phases.to_numpy(), settings, path)
        remarks += widened
    elif ids.duplicated().any():
        result = one_row_a_patient(result, settings, path)
        remarks.append(f"{len(ids)} lesions of {len(result)} patients joined by {settings['lesion_aggregate']}")
    result = result.sort_index()
    stated = table[[name for name in table if DIAGNOSTIC in name and STATED.search(name)]]
    stated = stated.set_axis(ids, axis=0)[~ids.duplicated().to_numpy()]
    missing = missing_cells(result, cells)
    if phases is not None:
        missing["reason"] = said_of_phases(missing, set(zip(ids, phases, strict=True)))
    return Imported(
        result.rename_axis("patient_id").reset_index(),
        missing,
        remarks + said,
        stated.rename_axis("patient_id").reset_index(),
    )


def id_problems(
    table: pd.DataFrame, ids: pd.Series, settings: dict[str, Any], path: str | Path, phase: str | None = None
) -> list[str]:
    """Ids that cannot be ids, and rows of one patient (in a phase) that nothing says how to join."""
    unsafe = [name for name in ids if not PATIENT_ID.fullmatch(name)]
    problems = []
    if unsafe:
        shown = few(repr(name) for name in unsafe)
        problems.append(f"{path}: patient id {shown}: only letters, digits, '.', '_' and '-', at most 64")
    repeated = sorted(set(ids[ids.duplicated()]))
    if repeated and not settings.get("lesion_aggregate"):
        stand = "stands" if len(repeated) == 1 else "stand"
        apart = told_apart(table, ids)
        differ = f" (their rows differ in {few(apart)})" if apart else ""
        remedy = "remove the rows too many, name the column of the phase (features.phase) if they are phases"
        if phase is not None:
            stand = f"with {settings['phase']} {phase} {stand}"
            remedy = "remove the rows too many"
        problems.append(
            f"{path}: {who(repeated)} {stand} there twice{differ}; {remedy}, or say with features.lesion_aggregate how "
            "several lesions become one row"
        )
    return problems


def feature_columns(
    table: pd.DataFrame, settings: dict[str, Any], path: str | Path, reserved: dict[str, str]
) -> tuple[list[str], pd.DataFrame, list[str]]:
    """The features by name, their numbers (NaN for what is none), and a line for each kind of column left out."""
    names = sorted(name for name in table.columns if re.search(settings["pattern"], name))
    known = {column.casefold(): place for column, place in reserved.items()}
    diagnostics = [name for name in names if DIAGNOSTIC in name]
    names = [name for name in names if DIAGNOSTIC not in name]
    numbers = numbers_of(table[names], settings.get("missing_values", []))
    text = [name for name in names if numbers[name].isna().all() and table[name].notna().any()]
    empty = [name for name in names if table[name].isna().all()]
    index = [name for name in names if INDEX.fullmatch(name) and counts_rows(numbers[name])]
    problems = []
    outcomes = [name for name in names if name.casefold() in known and name not in text]
    if outcomes:
        shown = few(f"{name} ({known[name.casefold()]})" for name in outcomes)
        problems.append(
            f"{path}: {shown}: outcomes, dates, ids, centres and what is known after the operation only cannot be "
            f"features; narrow features.pattern ({settings['pattern']!r}){proposal(names)}"
        )
    spoilt = [name for name in text if FEATURE.search(name) or looks_like_numbers(table[name])]
    if spoilt:
        cell = table[spoilt[0]].dropna().iloc[0]
        problems.append(
            f"{path}: {len(spoilt)} columns hold text where numbers are expected: {few(spoilt)} ({cell!r}); write "
            "numbers with a decimal point and nothing else, or narrow features.pattern"
        )
    gone = {*text, *empty, *index}
    names = [name for name in names if name not in gone]
    if not names and not problems:
        problems.append(f"{path}: no numeric column matches features.pattern {settings['pattern']!r}")
    if problems:
        raise StudyError(problems)
    kinds = (("text", text), ("empty", empty), ("row numbers", index), ("of the extraction's diagnostics", diagnostics))
    said = [f"{len(columns)} columns left out, {what}: {few(columns)}" for what, columns in kinds if columns]
    return names, numbers[names], said


def proposal(names: list[str]) -> str:
    """A pattern that fits pyradiomics' names, where most of the columns have such."""
    starts = {match[0] for name in names if FEATURE.search(name) and (match := re.match(r"[A-Za-z0-9]+_", name))}
    if not starts or len(starts) > 4:
        return ""
    return f", such as '^({'|'.join(sorted(starts))})'"


def size_problems(numbers: pd.DataFrame, ids: pd.Series, path: str | Path) -> list[str]:
    """Sizes below 0, a line a column; z-scores are no sizes any more, and are remarked on elsewhere."""
    problems = []
    for name in [name for name in numbers if SIZE.search(name)]:
        below = numbers[name] < 0
        if below.any() and not is_standardised(numbers[name]):
            values = ", ".join(f"{value:g}" for value in numbers[name][below][:NAMED])
            problems.append(
                f"{path}: {who(ids[below])}: {name} is {values}, which no size can be; correct it, or declare the code "
                "of missing cells (features.missing_values)"
            )
    return problems
