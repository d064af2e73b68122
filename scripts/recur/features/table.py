"""From the features of single cases to tables: a row per patient and reader, the same columns for every patient."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from recur.features.cache import versions
from recur.features.extract import check_extraction
from recur.features.names import column_names, joined, place_of
from recur.features.sets import count_by_class, feature_names
from recur.tables import MANIFEST, StudyError, signed

IDENTITY = ["patient_id", "reader"]
MISSING = ["patient_id", "reader", "phase", "region", "n", "features", "reason"]


def table_columns(settings: dict[str, Any]) -> list[str]:
    """Every feature column of a study, in order: phase (sorted), region, image type, class, feature."""
    return column_names(sorted(settings["phases"]), settings["regions"], _names(settings))


def _names(settings: dict[str, Any]) -> list[str]:
    extraction = check_extraction(settings["extraction"])
    return feature_names(extraction["feature_set"], extraction["image_types"], extraction["log_sigma_mm"])


def patient_rows(
    found: Mapping[tuple[str, str], Mapping[str, Mapping[str, float]]],
    missing: Iterable[tuple[str, str, str, Mapping[str, str]]],
    settings: dict[str, Any],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the (patient, reader) pairs that an analysis can use, with all columns of the study, and what is missing.

    settings: as for `manifest`; phase_sets, the phases that each analysis uses (default all at once): whoever has those
    of one of them stays, with NaN in the other phases.

    found: (patient_id, reader) -> phase -> features `<region>_<image type>_<class>_<feature>`; missing: patient_id,
    reader, phase and reasons by feature or region. A value that a case does not have is NaN; the second table (columns
    MISSING) has a row for each reason. Raises StudyError for a value that is no column of the study.
    """
    phases = sorted(settings["phases"])
    columns = table_columns(settings)
    names = _names(settings)
    known = set(columns)
    reasons: dict[tuple[str, str, str], dict[str, str]] = {}
    for patient, reader, phase, of_case in missing:
        reasons.setdefault((patient, reader, phase), {}).update(of_case)
    rows, lines = [], []
    for (patient, reader), cases in sorted(found.items()):
        if not any(set(needed) <= set(cases) for needed in settings.get("phase_sets", [phases])):
            continue
        row: dict[str, Any] = {"patient_id": patient, "reader": reader}
        for phase in [phase for phase in phases if phase in cases]:
            values = {joined(phase, name): value for name, value in cases[phase].items()}
            strange = next((name for name in values if name not in known), None)
            if strange:
                raise StudyError(f"column {strange!r} is no feature of these settings; run floor 3 again")
            row |= values
            case = {"patient_id": patient, "reader": reader, "phase": phase}
            of_case = reasons.get((patient, reader, phase), {})
            for region in settings["regions"]:
                lines += [case | line for line in _missing_lines(cases[phase], of_case, region, names)]
        rows.append(row)
    table = pd.DataFrame(rows, columns=IDENTITY + columns)
    return table.astype(dict.fromkeys(columns, float)), pd.DataFrame(lines, columns=MISSING)


def _missing_lines(
    values: Mapping[str, float], reasons: Mapping[str, str], region: str, names: list[str]
) -> list[dict[str, Any]]:
    """Lines of the missing table for one region of a case: n features by reason, "all" for the whole region."""
    absent = [name for name in names if np.isnan(values.get(joined(region, name), np.nan))]
    by_reason: dict[str, list[str]] = {}
    for name in absent:
        reason = reasons.get(joined(region, name)) or reasons.get(region, "no voxels")
        by_reason.setdefault(reason, []).append(name)
    return [
        {
            "region": region,
            "n": len(of_reason),
            "features": "all" if len(of_reason) == len(names) else ";".join(of_reason),
            "reason": reason,
        }
        for reason, of_reason in by_reason.items()
    ]


def merge_batches(batches: Iterable[pd.DataFrame], reader: str, settings: dict[str, Any]) -> pd.DataFrame:
    """One reader's rows of all batches, sorted by patient.

    Raises StudyError when no batch has a row, a patient stands in two batches, or a batch has other columns or was made
    with other settings or versions (manifest hash) than this run's.
    """
    sha256 = manifest(settings)["manifest_sha256"]
    columns = table_columns(settings)
    filled = [batch for batch in batches if len(batch)]
    if not filled:
        raise StudyError("no case of any batch has features; the reasons are in the exclusions of images and features")
    problems = [
        f"the batch of patient {batch['patient_id'].iloc[0]} was made with other settings, features or library "
        f"versions (manifest {str(batch.attrs.get(MANIFEST))[:12]}, this run {sha256[:12]}); run floor 3 again"
        for batch in filled
        if batch.attrs.get(MANIFEST) != sha256 or list(batch.columns) != IDENTITY + columns
    ]
    if problems:
        raise StudyError(problems)
    table = pd.concat(filled, ignore_index=True)
    table = table[table["reader"] == reader]
    repeated = sorted(set(table.loc[table["patient_id"].duplicated(), "patient_id"]))
    if repeated:
        raise StudyError(f"patient {patient}: in two batches; remove old batch tables" for patient in repeated)
    return signed(table.sort_values("patient_id", ignore_index=True), sha256)


def manifest(settings: dict[str, Any]) -> dict[str, Any]:
    """What the columns are and what makes their values, and the SHA-256 of that: equal hashes, comparable tables.

    settings: extraction, phases, regions; images, the settings of the images floor that change values (modality,
    normalisation, lesions, widths of the rims); pinned, the hash that the study demands, or None. The engine is left
    out of the hash, since both give the same values. Raises StudyError when the study pins another hash.
    """
    columns = table_columns(settings)
    names = _names(settings)
    extraction = check_extraction(settings["extraction"])
    parts = {
        "columns": columns,
        "extraction": {key: value for key, value in extraction.items() if key != "engine"},
        "images": settings["images"],
        "versions": versions(),
    }
    # 25 and 25.0 are one setting
    text = json.dumps(json.loads(json.dumps(parts), parse_int=float), sort_keys=True)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    pinned = settings["pinned"]
    if pinned and pinned != sha256:
        used = ", ".join(f"{name} {number}" for name, number in parts["versions"].items())
        raise StudyError(
            f"images.extraction_manifest: the study pins {pinned}, this run would make {sha256} "
            f"({len(columns)} columns; {used}); restore settings and versions, or pin the new hash and fit again"
        )
    return {
        "manifest_sha256": sha256,
        "columns": len(columns),
        "columns_sha256": hashlib.sha256("\n".join(columns).encode()).hexdigest(),
        "phases_and_regions": list(dict.fromkeys(place_of(name) for name in columns)),
        "features_per_region_and_phase": len(names),
        "features_by_image_type_and_class": count_by_class(names),
        "extraction": extraction,
        "images": settings["images"],
        "versions": parts["versions"],
    }
