"""From the features of single cases to tables: a row per patient and reader, columns in their one order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import pandas as pd

from recur.features.cache import versions
from recur.features.sets import REGIONS, column_names, count_by_class, feature_names
from recur.tables import StudyError

IDENTITY = ["patient_id", "reader"]


def patient_rows(
    phases: dict[tuple[str, str], dict[str, dict[str, float]]], wanted: Iterable[str], extraction: dict[str, Any]
) -> pd.DataFrame:
    """Rows of the (patient, reader) pairs that have every wanted phase, sorted.

    phases: (patient_id, reader) -> phase -> `<region>_<image type>_<class>_<feature>` -> value.
    """
    wanted = sorted(wanted)
    rows = []
    for (patient, reader), cases in sorted(phases.items()):
        if all(phase in cases for phase in wanted):
            values = {f"{phase}_{name}": value for phase in wanted for name, value in cases[phase].items()}
            rows.append({"patient_id": patient, "reader": reader} | values)
    table = pd.DataFrame(rows, columns=None if rows else IDENTITY)
    return table[IDENTITY + _ordered(table.columns, extraction)]


def merge_batches(batches: Iterable[pd.DataFrame], reader: str, extraction: dict[str, Any]) -> pd.DataFrame:
    """One reader's rows of all batches, sorted by patient.

    Raises StudyError when no batch has a feature, a patient stands in two batches, or patients lack columns of others.
    """
    batches = [batch for batch in batches if len(batch)]
    if not batches:
        raise StudyError("no case of any batch has features; the reasons are in the exclusions of images and features")
    table = pd.concat(batches, ignore_index=True)
    names = _ordered(table.columns, extraction)
    problems = [
        f"patient {patient}: no {'_'.join(name.split('_')[:2])} features, which others have; leave the patient out "
        "or check the masks"
        for batch in batches
        for name in [name for name in names if name not in batch.columns][:1]
        for patient in batch["patient_id"]
    ]
    table = table[table["reader"] == reader]
    repeated = table.loc[table["patient_id"].duplicated(), "patient_id"]
    problems += [f"patient {patient}: in two batches; remove old batch tables" for patient in sorted(set(repeated))]
    if problems:
        raise StudyError(problems)
    return table.sort_values("patient_id", ignore_index=True)[IDENTITY + names]


def manifest(table: pd.DataFrame, extraction: dict[str, Any]) -> dict[str, Any]:
    """What a table holds and what made it: counts, settings, versions, SHA-256 of its column list."""
    columns = [name for name in table.columns if name not in IDENTITY]
    names = feature_names(extraction["feature_set"], extraction["image_types"])
    return {
        "patients": len(table),
        "columns": len(columns),
        "columns_sha256": hashlib.sha256("\n".join(columns).encode()).hexdigest(),
        "phases_and_regions": list(dict.fromkeys("_".join(name.split("_")[:2]) for name in columns)),
        "features_per_region_and_phase": len(names),
        "features_by_image_type_and_class": count_by_class(names),
        "extraction": extraction,
        "versions": versions(),
    }


def _ordered(columns: Iterable[str], extraction: dict[str, Any]) -> list[str]:
    """Feature columns in canonical order: phase, region, image type, class, feature."""
    present = set(columns) - set(IDENTITY)
    phases = sorted({name.split("_")[0] for name in present})
    names = feature_names(extraction["feature_set"], extraction["image_types"])
    ordered = [name for name in column_names(phases, REGIONS, names) if name in present]
    if len(ordered) != len(present):
        other = min(present - set(ordered))
        raise StudyError(f"column {other!r} is no feature of these extraction settings; run floor 3 again")
    return ordered
