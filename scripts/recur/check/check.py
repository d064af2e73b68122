"""Every input table checked by the main process, before any job starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recur.check.images import review_problems
from recur.check.links import stop_at_links
from recur.check.predictors import candidate_problems, feature_problems
from recur.check.training import training_problems
from recur.cohort.clinical import Cohort, read_cohort
from recur.cohort.published_scores import mapping_problems, score_inputs
from recur.cohort.score_formulas import vector_problems
from recur.cohort.surveillance import visit_intervals
from recur.images.manifest_table import read_manifest
from recur.study.facts import made_tables
from recur.tables import StudyError


def check_tables(study: dict[str, Any]) -> Cohort | None:
    """Check every input table that exists, and raise StudyError with all problems of all of them.

    Returns the cohort; None where the workflow itself generates the clinical table: such tables are checked by the job
    that first reads them.
    """
    problems = mapping_problems(study)
    if "comparators" in study:
        problems += vector_problems()
    cohort, clinical_problems = checked_cohort(study)
    problems += clinical_problems + manifest_problems(study)
    for key in ("table", "repeat"):
        path = study.get("features", {}).get(key)
        if path and not Path(path).exists():
            hint = "; run the demo study first" if "null_study" in study else ""
            problems.append(f"{path}: no such file (features.{key}){hint}")
        elif path:
            problems += feature_problems(study, key, cohort)
    problems += review_problems(study)
    if cohort is not None:
        problems += other_problems(study, cohort)
    if problems:
        raise StudyError(list(dict.fromkeys(problems)))
    return cohort


def checked_cohort(study: dict[str, Any]) -> tuple[Cohort | None, list[str]]:
    """The cohort of the clinical table, None where it is made later or cannot be read, and what is wrong with it."""
    path = study["clinical"]["table"]
    if not Path(path).exists() and path in made_tables(study):
        return None, []
    if not Path(path).exists() and "public" in study:
        return None, [f"{path}: no such file; fetch the collection's clinical table from {page(study)} to it"]
    cohort = None
    try:
        cohort = read_cohort(study)
        return cohort, training_problems(study, cohort) + candidate_problems(study, cohort)
    except StudyError as error:
        return cohort, error.problems


def manifest_problems(study: dict[str, Any]) -> list[str]:
    """What is wrong with the image manifest, unless a rule of the workflow makes it."""
    if "images" not in study:
        return []
    path = study["images"]["manifest"]
    if not Path(path).exists() and path in made_tables(study):
        return []
    try:
        read_manifest(study)
        return []
    except StudyError as error:
        return error.problems


def other_problems(study: dict[str, Any], cohort: Cohort) -> list[str]:
    """Problems of visits, lesions and ids beside the clinical table, and of the scores computed from it."""
    patients = cohort.clinical["patient_id"]
    checks = []
    checks.append((visit_intervals, study, cohort.cells, patients))
    if "comparators" in study and not mapping_problems(study):
        checks.append((score_inputs, study, cohort.clinical))
    if "lesions" in study.get("diagnostic", {}):
        from recur.diagnostic.index_tests import (
            read_lesions,  # its statistics load slowly, and few studies have lesions
        )

        checks.append((read_lesions, study, patients))
    checks.append((stop_at_links, study, cohort))
    problems = []
    for check, *arguments in checks:
        try:
            check(*arguments)
        except StudyError as error:
            problems += error.problems
    return problems


def page(study: dict[str, Any]) -> str:
    return f"https://doi.org/{study['public']['doi']}"
