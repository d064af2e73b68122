"""The feature tables of an analysis: the one that is analysed, and its further readings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from recur.features.complete import complete_only, select_features, without_regions
from recur.tables import one_manifest


class Readings(NamedTuple):
    """Features of an analysis; without any, `features` and `table` are None and the others are empty."""

    table: pd.DataFrame | None  # the first table, with all columns
    features: pd.DataFrame | None  # patient_id and the features in use, of patients that have them
    repeats: pd.DataFrame  # patient_id, reader and the same features, of the further readings
    excluded: pd.DataFrame  # patient_id, reason
    sha256: str | None  # of the manifest that all tables share


def read_readings(paths: list[str], subset: dict[str, Any], complete: bool) -> Readings:
    """Read the feature tables of an analysis, that of the first reader first.

    subset: the phases and regions in use; complete: whoever lacks a feature goes out, and none is left out. A reading
    goes by the name of its table, for perturbed readings share their reader. Raises StudyError if manifests differ.
    """
    excluded = pd.DataFrame(columns=["patient_id", "reason"])
    if not paths:
        return Readings(None, None, pd.DataFrame(columns=["patient_id", "reader"]), excluded, None)
    tables = {Path(path).stem: pd.read_parquet(path) for path in paths}
    sha256 = one_manifest(tables)
    first, *others = (table.assign(reader=name) for name, table in tables.items())
    names = [name for name in first.columns if name not in ("patient_id", "reader")]
    names = select_features(names, subset.get("phases"), subset.get("regions"))
    split = complete_only if complete else without_regions
    features, excluded = split(first[["patient_id", *names]])
    repeats = [table[["patient_id", "reader", *names]] for table in others]
    return Readings(first, features, pd.concat(repeats or [first.iloc[:0]]), excluded, sha256)


def repeats_of(repeats: pd.DataFrame, patients: pd.Series, gaps: list[str]) -> pd.DataFrame:
    """The further readings of some patients, less the features left out; a reading that lacks one is none of it."""
    chosen = repeats[repeats["patient_id"].isin(patients)].drop(columns=gaps, errors="ignore")
    chosen = chosen[chosen.notna().all(axis=1)]
    return chosen.sort_values(["patient_id", "reader"], ignore_index=True)
