"""The tables of new patients, at another centre: read as the study read its own, and what is wrong in them.

A model's `inputs` (recur.predict.inputs) stand in its JSON, so that nothing but the frozen files is needed. What is
wrong with the table as a whole stops the run with every problem listed; cells that lie outside the declared inputs are
told by patient (recur.predict.scorer says what becomes of the patient).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from recur.cohort.analysis_set import tumour_burden
from recur.cohort.cells import cells_of
from recur.cohort.exclusions import by_id
from recur.cohort.identity import id_problems
from recur.cohort.variables import read_variables, unit_problems
from recur.features.cells import ids_of, numbers_of
from recur.features.names import within_source
from recur.features.one_row import long_to_wide
from recur.features.tumour_size import MEASURES
from recur.predict.inputs import used_terms
from recur.study import coding
from recur.study.coding import levels_of
from recur.tables import (
    MANIFEST,
    SIGNIFICANT_DIGITS,
    Problem,
    StudyError,
    first_of,
    id_columns,
    one_manifest,
    read_table,
    with_id,
)

HEADING = re.compile(r"^(.*?)\s*\[([^\[\]]*)\]$")  # column [unit]
FEW = 10  # patients below whom a median says nothing of the unit


def read_new_patients(
    path: str | Path,
    models: dict[str, dict[str, Any]],
    sheet: str | None = None,
    centres: Sequence[str] = (),
) -> tuple[pd.DataFrame, dict[str, list[Problem]]]:
    """The clinical table of new patients as the models want it: patient_id, centre, one column a term (n rows), and
    what is wrong with single patients: by term the cells that are not as declared (NaN in the table), under "" the rows
    whose id nobody can be found by (not in the table).

    Cells are written as in the study's own table. A heading may say its unit, `tumour_size_cm [cm]`. Raises StudyError
    with every problem of the table as a whole: a missing column, another unit, another coding. A column that only
    fills in missing cells may be absent. centres: those that a signature knows, by which the labels of an SPSS or Stata
    file are told from its codes.
    """
    inputs = next(iter(models.values()))["inputs"]
    variables = {term: v for model in models.values() for term, v in model["inputs"]["variables"].items()}
    needed = {term for model in models.values() for term in used_terms(model)}
    columns = {*id_columns(inputs["id"]), inputs["centre"], *(v["column"] for v in variables.values())}
    read = read_table(path, sheet, lambda name: name in columns or HEADING.match(name))
    table, problems = without_units(read, variables)
    named = {inputs["id"]: None, inputs["centre"]: list(centres)}
    table, _ = cells_of(table, path, inputs["missing_values"], variables, columns, named)
    table = with_id(table, inputs["id"])
    missing = [inputs["id"]] if inputs["id"] not in table else []
    known = {term: v for term, v in variables.items() if v["column"] in table}
    lacking = {term: v for term, v in variables.items() if term in needed - set(known) and not v.get("measure")}
    missing += [v["column"] for v in lacking.values()]
    problems += [
        f"no column {column!r}; an empty cell is a missing value, a missing column is not" for column in missing
    ]
    problems += shifted_levels(table, known)
    if problems or table.empty:
        raise StudyError([f"{path}: {problem}" for problem in problems] or f"{path}: no rows")
    ids = table[inputs["id"]]
    # sizes and volumes of 0 are unknown, not an error: see declared_inputs
    plain = {term: v | {"transform": "none"} if v.get("positive_only") else v for term, v in known.items()}
    wrong = {"": by_id(id_problems(ids), ids)}
    values = pd.DataFrame(index=table.index)
    for term, variable in plain.items():
        numbers, bad = read_variables(table, {term: variable}, ids)
        values[term] = numbers[term].mask(numbers.index.isin([problem.who for problem in bad]))
        if variable.get("positive_only"):
            values[term] = values[term].where(values[term] > 0)
        wrong[term] = by_id(bad, ids)
    if len(table) >= FEW:
        problems = unit_problems(values, known)
    else:
        problems = []
    if problems:
        raise StudyError(f"{path}: {problem}" for problem in problems)
    centre = ""
    if inputs["centre"] in table:
        centre = table[inputs["centre"]].fillna("")
    values = values.map(as_stored).assign(patient_id=ids.astype(object), centre=centre)
    nobody = {problem.line - 2 for problem in wrong[""]}
    return values[~values.index.isin(nobody)].reset_index(drop=True), wrong


def shifted_levels(table: pd.DataFrame, variables: dict[str, Any]) -> list[str]:
    """Lines on columns of numbered levels that hold the next number, such as 2 beside a declared 0 and 1: whoever codes
    so means another thing by 1, and a single patient's cell shows it.
    """
    problems = []
    for variable in variables.values():
        levels = levels_of(variable)
        if not levels or not all(level.isdecimal() for level in levels):
            continue
        numbers = [int(level) for level in levels]
        beside = {str(number) for number in (min(numbers) - 1, max(numbers) + 1) if number >= 0}
        cells = coding.as_declared(table[variable["column"]], [*levels, *beside])
        if cells.isin(beside).any():
            problems.append(
                f"column {variable['column']} holds {coding.values_of(cells)}, beyond the declared "
                f"{', '.join(levels)}: another coding? write it as the study did, and leave unknown cells empty"
            )
    return problems


def as_stored(value: float) -> float:
    """A number as a CSV of the study keeps it: models were fitted on, and applied to, numbers of so many digits."""
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def without_units(table: pd.DataFrame, variables: dict[str, Any]) -> tuple[pd.DataFrame, list[str]]:
    """The table with headings `column [unit]` cut to `column`, and those whose unit is not the declared one."""
    units = {v["column"]: v["unit"] for v in variables.values()}
    names = {}
    problems = []
    for heading in table.columns:
        parts = HEADING.match(str(heading))
        if heading in units or not parts or parts[1] not in units:
            continue
        names[heading] = parts[1]
        if parts[2].strip() != units[parts[1]]:
            problems.append(
                f"column {heading!r}: the model was fitted in {units[parts[1]] or 'no unit'}; nothing is converted"
            )
    return table.rename(columns=names), problems


def read_new_features(
    path: str | Path,
    signature: dict[str, Any],
    ids: pd.Series | None,
    inputs: dict[str, Any] | None = None,
    sheet: str | None = None,
) -> tuple[pd.DataFrame, list[Problem]]:
    """The feature table of new patients: patient_id and features, rows in the order of `ids` (all rows without them);
    and who lacks a feature, has no row or several: features are never imputed (NaN).

    inputs: a model's (id column of the study's own feature table, its cells that mean missing). Raises StudyError for
    another manifest than the signature's, and features that the table lacks.
    """
    inputs = inputs or {}
    names = [feature["name"] for feature in signature["features"]]
    id_of_study = inputs.get("feature_id") or "patient_id"
    sizes = {inputs.get("size_column"), inputs.get("volume_column")}

    def used(column: str) -> bool:
        known = {"patient_id", *id_columns(id_of_study), *names, *sizes, *long, inputs.get("feature_phase")}
        return column in known or column.endswith(tuple(MEASURES.values()))

    # of a long table the features are <phase>_<column>
    if "feature_phase" in inputs:
        long = {within_source(name) for name in names}
    else:
        long = set()
    table = with_id(read_table(path, sheet, used), id_of_study)
    one_manifest({"the signature": signature["features_manifest"], str(path): table.attrs.get(MANIFEST)})
    id_column = id_of_study if id_of_study in table else "patient_id"
    if id_column not in table:
        raise StudyError(f"{path}: no column {id_of_study!r}, which holds the patients' ids; add it")
    if inputs.get("feature_phase") in table:
        wide = long_to_wide(table, ids_of(table[id_column]), inputs["feature_phase"], inputs["phases"])
        table = wide.rename_axis(id_column).reset_index()
    absent = [name for name in names if name not in table]
    if absent:
        more = ""
        if len(absent) > 1:
            more = f"; of {len(absent)} missing ones"
        raise StudyError(f"{path}: no feature {first_of(absent)}{more}; extract them as the study did")
    table = table.assign(patient_id=ids_of(table[id_column]))
    given = table["patient_id"]
    problems = []
    if ids is None:
        problems += by_id(id_problems(given.mask(given == "")), given.mask(given == ""))
        table = table[~table.index.isin([problem.line - 2 for problem in problems])].reset_index(drop=True)
        ids = table["patient_id"]
    several = set(given[given.duplicated()])
    problems += [Problem(p, "stands in the feature table twice; remove one row") for p in ids if p in several]
    lost = sorted(set(ids) - set(given))
    problems += [Problem(p, "has no row in the feature table") for p in lost]
    table = table[~table["patient_id"].isin(several)].set_index("patient_id").reindex(list(ids))
    columns = [column for column in table if column != id_of_study and used(column)]
    table = numbers_of(table[columns], inputs.get("feature_missing_values", []))
    table = table.rename_axis("patient_id").reset_index()
    problems += gap_problems(table, names, {problem.who for problem in problems})
    return table, problems


def gap_problems(table: pd.DataFrame, names: list[str], refused: set[Any]) -> list[Problem]:
    """Patients who lack one of the features `names`, but for those who are refused already."""
    problems = []
    for patient, gaps in zip(table["patient_id"], table[names].isna().to_numpy(), strict=True):
        if gaps.any() and patient not in refused:
            problems.append(Problem(patient, f"{names[gaps.argmax()]} is missing; features are never imputed"))
    return problems


def with_burden(frame: pd.DataFrame, features: pd.DataFrame | None, models: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """The clinical rows with the tumour's size or volume from its mask, where a model uses it and no column gave it."""
    for name, model in models.items():
        for term, variable in model["inputs"]["variables"].items():
            if not variable.get("measure") or term in frame:
                continue
            burden = tumour_burden(features, frame, model["inputs"], model["inputs"]["phases"])
            if term not in burden:
                raise StudyError(
                    f"{name}: no column {term!r} ({variable['unit']}) in the clinical table, and no feature "
                    f"original_shape_{variable['measure']} of the tumour; give one of them"
                )
            frame = frame.merge(burden[["patient_id", term]], on="patient_id", how="left")
            frame[term] = frame[term].map(as_stored)
    return frame
