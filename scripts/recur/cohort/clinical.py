"""Floor 1: who is in the study, with which clinical values and endpoints, from one reading of the clinical table."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from recur.cohort.cells import clinical_cells
from recur.cohort.coding_problems import column_problems, rule_problems
from recur.cohort.columns import named_columns
from recur.cohort.endpoints import read_endpoints
from recur.cohort.exclusions import by_id, first_problems, ineligible, why_gone
from recur.cohort.identity import centre_problems, centre_warnings, id_problems, id_warnings
from recur.cohort.linkage import copies, copies_line
from recur.cohort.split import centres_named, split_warnings
from recur.cohort.time_units import later_deaths, time_warnings
from recur.cohort.variables import describe_variables, limit_warnings, read_variables, unit_problems
from recur.study import coding
from recur.study.facts import splits_of, used_variables
from recur.tables import Problem, StudyError, grouped, told


class Cohort(NamedTuple):
    """Checked input of floor 1; every frame has one row a patient, in the order of the ids."""

    clinical: pd.DataFrame  # patient_id, centre, one column a variable, as numbers (levels by their place)
    endpoints: pd.DataFrame  # patient_id, <endpoint>_time (months), <endpoint>_event (code); see read_endpoints
    exclusions: pd.DataFrame  # patient_id, floor, reason
    missing_endpoints: pd.DataFrame  # patient_id, endpoint, reason: patients that one endpoint's analyses leave out
    warnings: list[str]
    excluded: list[Problem]  # the reasons of `exclusions`, to be told
    left_out: dict[str, list[Problem]]  # by endpoint those of `missing_endpoints`, to be told
    cells: pd.DataFrame  # the table as text (clinical_cells), for what else is read from it: it is read once


class Rows(NamedTuple):
    """What the clinical table says row by row, before anybody is left out."""

    used: dict[str, Any]  # the variables of which a bad cell excludes a patient
    values: pd.DataFrame  # one column a variable, as numbers
    endpoints: pd.DataFrame  # see read_endpoints
    problems: list[Problem]  # of whole patients
    missing: list[tuple[str, Problem]]  # (endpoint, problem) of single endpoints
    warnings: list[str]


def read_cohort(study: dict[str, Any]) -> Cohort:
    """Read and check the clinical table of a resolved study.

    Problems of the table as a whole (missing columns, a wrong unit) raise StudyError with all of them listed;
    problems of single patients do so under `on_error: stop`, and become exclusions under `on_error: exclude`.
    """
    clinical = study["clinical"]
    path = Path(clinical["table"])
    table, joined = clinical_cells(study)
    ids = table[clinical["id"]]
    centre = centre_of(table, study)
    rows = read_rows(table, study)
    warnings = rows.warnings + joined + odd_rows(table, centre, study)
    warnings += centre_warnings(centre, rows.values, rows.used)
    strangers = ineligible(table, clinical.get("eligibility", []))
    outside = {problem.who for problem in strangers}  # what stands in their other cells does not matter
    problems = id_problems(ids) + centre_problems(centre)
    problems += [problem for problem in rows.problems if problem.who not in outside]
    missing = [(name, problem) for name, problem in rows.missing if problem.who not in outside]
    eligible = ~table.index.isin(outside)
    lines = [f"{path}: {text}" for text in table_problems(table, centre, rows, eligible, study)]
    if study["on_error"] == "stop":
        problems += recorded_problems(missing, study["endpoints"])
        lines += grouped(by_id(problems, ids), path)
    if lines:
        raise StudyError(lines)
    bad = first_problems(by_id(problems + strangers, ids))
    keep = ids.notna() & ~ids.isin(list(bad))
    if not keep.any():
        raise StudyError([f"{path}: none of its {len(table)} patients is left", *why_gone(list(bad.values()))])
    missing = [(name, problem) for name, problem in missing if keep[problem.who]]
    patient = ids.rename("patient_id")
    return Cohort(
        clinical=by_patient(pd.concat([patient, centre.rename("centre"), rows.values], axis=1)[keep]),
        endpoints=by_patient(pd.concat([patient, rows.endpoints], axis=1)[keep]),
        exclusions=by_patient(exclusion_table(bad)),
        missing_endpoints=missing_table(missing, ids),
        warnings=warnings,
        excluded=list(bad.values()),
        left_out={
            endpoint: by_id([problem for name, problem in missing if name == endpoint], ids)
            for endpoint in study["endpoints"]
        },
        cells=table,
    )


def centre_of(table: pd.DataFrame, study: dict[str, Any]) -> pd.Series:
    """The centre of each row as the splits of the study write it, empty where there is none."""
    column = study["clinical"]["centre"]
    if not column:
        return pd.Series("", index=table.index)
    named = chain.from_iterable(centres_named(split) for split in splits_of(study).values())
    return coding.as_declared(table[column], named).fillna("")


def read_rows(table: pd.DataFrame, study: dict[str, Any]) -> Rows:
    """Variables and endpoints of every row of the clinical table (clinical_cells), with what is wrong with them."""
    variables = study["clinical"]["variables"]
    ids = table[study["clinical"]["id"]]
    names = used_variables(study)
    used = {name: variable for name, variable in variables.items() if name in names}
    unused = {name: variable for name, variable in variables.items() if name not in names}
    values, problems = read_variables(table, used, ids)
    described, notes = describe_variables(table, unused, ids)
    endpoints, contradicting, missing, warnings = read_endpoints(table, study)
    return Rows(
        used=used,
        values=values.join(described)[list(variables)],
        endpoints=endpoints,
        problems=problems + contradicting,
        missing=missing,
        warnings=warnings + limit_warnings(table, variables) + notes,
    )


def table_problems(
    table: pd.DataFrame, centre: pd.Series, rows: Rows, eligible: np.ndarray, study: dict[str, Any]
) -> list[str]:
    """Lines on the table as a whole, whatever `on_error`: another coding, another unit. eligible (n,):
    whether a row is looked at.
    """
    problems = rule_problems(table, study["clinical"].get("eligibility", []))
    if eligible.any():
        problems += column_problems(table[eligible], study, rows.used, centre[eligible])
        problems += unit_problems(rows.values[eligible], rows.used)
    return problems


def recorded_problems(missing: list[tuple[str, Problem]], endpoints: dict[str, Any]) -> list[Problem]:
    """Of the problems of single endpoints those of cells: of the others nothing is written wrongly."""
    return [
        problem._replace(text=f"endpoint {name}: {problem.text}")
        for name, problem in missing
        if endpoints[name]["kind"] == "recorded"
    ]


def exclusion_table(bad: dict[str, Problem]) -> pd.DataFrame:
    """patient_id, floor, reason of the patients that the clinical table excludes."""
    rows = [(patient, "cohort", told(problem)) for patient, problem in bad.items()]
    return pd.DataFrame(rows, columns=["patient_id", "floor", "reason"])


def missing_table(missing: list[tuple[str, Problem]], ids: pd.Series) -> pd.DataFrame:
    """patient_id, endpoint, reason: the first one of each patient that an endpoint lacks."""
    rows = [(str(ids[problem.who]), name, told(problem)) for name, problem in missing]
    table = pd.DataFrame(rows, columns=["patient_id", "endpoint", "reason"])
    return table.drop_duplicates(["patient_id", "endpoint"]).sort_values(["endpoint", "patient_id"], ignore_index=True)


def by_patient(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values("patient_id", ignore_index=True)


def odd_rows(table: pd.DataFrame, centre: pd.Series, study: dict[str, Any]) -> list[str]:
    """What is odd about rows and ids: patients that may be there twice, times that are hardly months."""
    clinical = study["clinical"]
    ids = table[clinical["id"]]
    compared = [name for name in named_columns(study) if name != clinical["centre"]]
    warnings = copies_line(copies(table[compared], ids), str(Path(clinical["table"])))
    for name, endpoint in study["endpoints"].items():
        if endpoint["kind"] == "recorded":
            warnings += time_warnings(name, endpoint, table, centre)
    return warnings + later_deaths(table, study, ids) + id_warnings(ids) + split_warnings(table, centre, study)
