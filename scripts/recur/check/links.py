"""Ids of the other tables against those of the clinical table, before any job starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from recur.cohort.clinical import Cohort
from recur.cohort.linkage import copies, copies_line, link
from recur.cohort.split import assign_all
from recur.features.imported import read_features
from recur.images.manifest_table import read_manifest
from recur.study.facts import made_tables
from recur.tables import StudyError, read_table


def stop_at_links(study: dict[str, Any], cohort: Cohort) -> None:
    """Raise StudyError where ids of other tables are not those of the clinical table."""
    problems, _ = links(study, cohort)
    if problems:
        raise StudyError(problems)


def links(study: dict[str, Any], cohort: Cohort) -> tuple[list[str], list[str]]:
    """Problems and notes on the ids of the other tables, by cohort and, of images, phase and reader."""
    assigned = assign_all(study, cohort.clinical, cohort.cells, cohort.excluded)
    cohorts = assigned.set_index("patient_id")["cohort"]
    known = {*cohorts.index, *(str(problem.who) for problem in cohort.excluded)}
    problems, notes = [], []
    for what, others in ids_of_tables(study).items():
        unlinked, said = link(cohorts, known, others.dropna(), what)
        problems += unlinked
        notes += said
    return problems, notes


def feature_copies(study: dict[str, Any]) -> list[str]:
    """A line on patients of the feature table whose features are all equal."""
    path = study.get("features", {}).get("table")
    if not path or not Path(path).exists():
        return []
    features = read_features(study["features"], path).features
    return copies_line(copies(features.drop(columns="patient_id"), features["patient_id"]), path)


def ids_of_tables(study: dict[str, Any]) -> dict[str, pd.Series]:
    """The ids of every table beside the clinical one that exists; of the manifest by phase and reader."""
    tables = {}
    images = study.get("images")
    visits = study["clinical"].get("visits")
    if images and Path(images["manifest"]).exists() and images["manifest"] not in made_tables(study):
        rows = read_manifest(study)
        for (phase, reader), part in rows.groupby(["phase", "reader"]):
            if phase in images["phases"] and reader in images["readers"]:
                tables[f"{images['manifest']}, {phase} of {reader}"] = part["patient_id"]
    features = study.get("features", {})
    holders = [(features.get(key), features) for key in ("table", "repeat")]
    holders += [(part["table"], part) for part in (visits, study.get("diagnostic", {}).get("lesions")) if part]
    for path, part in holders:
        column = part.get("id")
        there = path and Path(path).exists()
        table = read_table(path, part.get("sheet"), {column}.__contains__) if there else pd.DataFrame()
        if column in table:  # a table without it is told of where it is read
            tables[path] = table[column]
    return {what: ids.astype("string").str.strip() for what, ids in tables.items()}
