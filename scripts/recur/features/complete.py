"""Which features an analysis uses, and the patients who have all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from recur.features.cells import missing_cells
from recur.features.imported import Imported, read_features
from recur.features.names import place_of, selected
from recur.tables import StudyError


def import_feature_table(path: str | Path, id_column: str, pattern: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A ready feature table as (features with patient_id first, exclusions); patients with a missing value go out."""
    return complete_enough(read_features({"id": id_column, "pattern": pattern}, path), [{}])


def complete_enough(found: Imported, subsets: list[dict[str, list[str]]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The patients of a feature table who have all features of an analysis, and the others (patient_id, floor, reason).

    subsets: phases and regions of each analysis. Whoever lacks a cell of one phase stays for the analyses without it.
    """
    features = found.features
    names = list(found.features.columns[1:])
    lacks = np.ones(len(features), bool)
    for subset in subsets:
        chosen = select_features(names, subset.get("phases"), subset.get("regions"))
        lacks &= features[chosen].isna().any(axis=1).to_numpy()
    gone = lacking_some(features[lacks], len(names), found.missing)
    return features[~lacks].reset_index(drop=True), gone.assign(floor="features")[["patient_id", "floor", "reason"]]


def complete_only(features: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients of a ready table with every feature of an analysis, and the others with the reason (patient_id, reason).

    features: patient_id and the columns that the analysis uses.
    """
    values = features.set_index("patient_id")
    lacks = values.isna().any(axis=1).to_numpy()
    missing = missing_cells(values[lacks])
    return features[~lacks], lacking_some(features[lacks], values.shape[1], missing)


def lacking_some(features: pd.DataFrame, of: int, missing: pd.DataFrame) -> pd.DataFrame:
    """patient_id and reason of patients of whom some features are not there; missing: why (recur.features.imported)."""
    gaps = missing[missing["patient_id"].isin(features["patient_id"])]
    first = gaps.drop_duplicates("patient_id").set_index("patient_id")
    count = gaps["patient_id"].value_counts()
    reasons = [
        f"{count[patient]} of {of} features missing ({first['feature'][patient]}: {first['reason'][patient]})"
        for patient in features["patient_id"]
    ]
    return pd.DataFrame({"patient_id": features["patient_id"].to_numpy(), "reason": reasons}, dtype=object)


def select_features(names: list[str], phases: list[str] | None, regions: list[str] | None) -> list[str]:
    """Names of the wanted phases and regions, from `<phase>_<region>_...`; None keeps all."""
    kept = selected(names, phases, regions)
    if names and not kept:
        raise StudyError(f"no feature is of phases {phases} and regions {regions}: correct them (analyses.*)")
    return kept


def without_regions(features: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients that have every phase and region, and the others with the reason (patient_id, reason).

    features: patient_id and the chosen columns `<phase>_<region>_...`. A patient lacks a region if all its values are
    missing: a further rim of which clipping left too little, or that could not be extracted.
    """
    columns = [name for name in features.columns if name != "patient_id"]
    parts = pd.Series([place_of(name) for name in columns], index=columns)
    empty = pd.DataFrame({part: features[names.index].isna().all(axis=1) for part, names in parts.groupby(parts)})
    lacks = empty.apply(lambda row: ", ".join(row.index[row]), axis=1) if len(empty) else pd.Series(dtype=str)
    gone = lacks.ne("").to_numpy()
    excluded = pd.DataFrame({"patient_id": features["patient_id"][gone], "reason": "no features of " + lacks[gone]})
    return features[~gone], excluded
