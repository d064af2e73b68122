"""Floor 1: who is in the study, with which clinical values and endpoints, from one reading of the clinical table."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from recur.cohort.cells import clinical_cells
from recur.cohort.coding_problems import column_problems, rule_problems
from recur.cohort.columns import named_columns
from recur.cohort.endpoints import UNKNOWN, read_endpoints
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


def read_cohort(study: dict[str, Any]) -> Cohort:
    """Read and check the clinical table of a resolved study.

    Problems of the table as a whole (missing columns, a wrong unit) raise StudyError with all of them listed;
    problems of single patients do so under `on_error: stop`, and become exclusions under `on_error: exclude`.
    """
    clinical = study["clinical"]
    path = Path(clinical["table"])
    table, joined = clinical_cells(study)
    ids = table[clinical["id"]]
    centre = pd.Series("", index=table.index)
    if clinical["centre"]:
        named = [name for split in splits_of(study).values() for name in centres_named(split)]
        centre = coding.as_declared(table[clinical["centre"]], named).fillna("")
    identity = id_problems(ids) + centre_problems(centre)
    problems = []
    named = used_variables(study)
    used = {name: variable for name, variable in clinical["variables"].items() if name in named}
    unused = {name: variable for name, variable in clinical["variables"].items() if name not in named}
    values, found = read_variables(table, used, ids)
    problems += found
    described, notes = describe_variables(table, unused, ids)
    values = values.join(described)[list(clinical["variables"])]
    endpoints, found, missing, warnings = read_endpoints(table, study)
    problems += found
    warnings += limit_warnings(table, clinical["variables"]) + notes + joined
    warnings += odd_rows(table, centre, study) + centre_warnings(centre, values, used)
    strangers = ineligible(table, clinical.get("eligibility", []))
    outside = {problem.who for problem in strangers}  # what stands in their other cells does not matter
    problems = identity + [problem for problem in problems if problem.who not in outside]
    missing = [(name, problem) for name, problem in missing if problem.who not in outside]
    own = ~table.index.isin(outside)
    whole = rule_problems(table, clinical.get("eligibility", []))
    if own.any():
        whole += column_problems(table[own], study, used, centre[own]) + unit_problems(values[own], used)
    lines = [f"{path}: {text}" for text in whole]
    if study["on_error"] == "stop":
        cells = {name for name, e in study["endpoints"].items() if e["kind"] == "recorded" or "column" in e}
        problems += [
            problem._replace(text=f"endpoint {name}: {problem.text}")
            for name, problem in missing
            if name in cells and problem.text != UNKNOWN
        ]
        lines += grouped(by_id(problems, ids), path)
    if lines:
        raise StudyError(lines)
    bad = first_problems(by_id(problems + strangers, ids))
    exclusions = pd.DataFrame(
        [(patient, "cohort", told(problem)) for patient, problem in bad.items()],
        columns=["patient_id", "floor", "reason"],
    )
    keep = ids.notna() & ~ids.isin(list(bad))
    if not keep.any():
        raise StudyError([f"{path}: none of its {len(table)} patients is left", *why_gone(list(bad.values()))])
    frame = pd.concat([ids.rename("patient_id"), centre.rename("centre"), values], axis=1)[keep]
    ends = pd.concat([ids.rename("patient_id"), endpoints], axis=1)[keep]
    left_out = pd.DataFrame(
        [(str(ids[problem.who]), name, told(problem)) for name, problem in missing if keep[problem.who]],
        columns=["patient_id", "endpoint", "reason"],
    )
    return Cohort(
        frame.sort_values("patient_id", ignore_index=True),
        ends.sort_values("patient_id", ignore_index=True),
        exclusions.sort_values("patient_id", ignore_index=True),
        left_out.drop_duplicates(["patient_id", "endpoint"]).sort_values(["endpoint", "patient_id"], ignore_index=True),
        warnings,
        list(bad.values()),
        {
            end: by_id([problem for name, problem in missing if name == end and keep[problem.who]], ids)
            for end in study["endpoints"]
        },
        table,
    )


def odd_rows(table: pd.DataFrame, centre: pd.Series, study: dict[str, Any]) -> list[str]:
    """What is odd about rows and ids: patients that may be there twice, times that are hardly months."""
    clinical = study["clinical"]
    ids = table[clinical["id"]]
    compared = [name for name in named_columns(study) if name != clinical["centre"]]
    found = copies_line(copies(table[compared], ids), str(Path(clinical["table"])))
    for name, endpoint in study["endpoints"].items():
        if endpoint["kind"] == "recorded":
            found += time_warnings(name, endpoint, table, centre)
    return found + later_deaths(table, study, ids) + id_warnings(ids) + split_warnings(table, centre, study)
