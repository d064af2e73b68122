"""The cases of a batch of patients, and the tables that say what became of each image and region."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from recur.images.acquisition import since_first_phase
from recur.images.align import shifts_under_one_mask
from recur.images.case_cache import cached_cases
from recur.images.case_file import Case
from recur.images.flags import added
from recur.images.montage import overlap
from recur.tables import StudyError

IDENTITY = ["patient_id", "phase", "reader", "case", "status", "reason", "flags", "flag_kinds"]
REGIONS = ["tumour_voxels", "tumour_ml", "rim_voxels", "rim_ml", "shell_fraction", "diameter_mm"]
MEASURED = ["pieces", "edge_voxels", "liver_median", "aorta_median"]
GEOMETRY = ["spacing_x", "spacing_y", "spacing_z", "size_x", "size_y", "size_z", "bits"]
SCAN = ["lesion", "lesions", "modality", "normalise", "n4", "normalise_mean", "normalise_sd"]
SERIES = [
    "series_number",
    "series_description",
    "series_time_s",
    "phase_time_s",
    "series_hash",
    "mask_offset_mm",
    "phase_shift_mm",
    "image_hash",
    "tumour_hash",
    "mask_hash",
    "dice",
]
OF_A_RIM = ("voxels", "ml", "shell_fraction")
LOST = ["lost_image", "lost_liver", "lost_hu", "lost_lesions", "lost_vessels"]
REGION_TABLE = ["region", "voxels", "ml", "median", "shell_fraction", *LOST, "reason"]
REGION_KEY = ["patient_id", "phase", "reader", "lesion"]


class ReadRow(NamedTuple):
    """What became of a row of the inventory, an image with one reader's masks."""

    row: dict[str, Any]
    records: list[dict[str, Any]]  # of the table of cases: one, or one a lesion, the largest first
    cases: list[Case | None]  # of each record; None if it is excluded


def by_patient(inventory: pd.DataFrame) -> list[tuple[str, list[dict[str, Any]]]]:
    """(patient, rows of the inventory) in its order; empty cells are None."""
    rows = inventory.astype(object).where(inventory.notna(), None).to_dict("records")
    return [(patient, list(part)) for patient, part in groupby(rows, itemgetter("patient_id"))]


def read_patient(rows: list[dict[str, Any]], regions: dict[str, Any], cache: Path) -> list[ReadRow]:
    """Everything that became of the images of one patient, with what shows only side by side: how far the patient moved
    between phases, when each was scanned, what is of another examination.

    regions: settings of the regions. Raises StudyError if the study stops on errors.
    """
    readings = [process(row, regions, cache) for row in rows]
    say_shifts(readings)
    say_times(readings)
    return readings


def process(row: dict[str, Any], regions: dict[str, Any], cache: Path) -> ReadRow:
    """The cases of a row, from the cache or made; excluded with its reason if it cannot be used.

    Raises StudyError if the study stops on errors.
    """
    key = {name: row[name] for name in ("patient_id", "phase", "reader")}
    try:
        named_cases = cached_cases(row, regions, cache)
    except StudyError as error:
        reason = f"{row['phase']} {row['reader']}: {error}"
        if regions.get("on_error") == "stop":
            raise StudyError(f"patient {row['patient_id']} {reason}") from None
        return ReadRow(row, [key | {"status": "excluded", "reason": reason, "cause": str(error)}], [None])
    records = [key | {"case": name, "status": "ok"} | case.facts for name, case in named_cases]
    return ReadRow(row, records, [case for _, case in named_cases])


def say_shifts(readings: list[ReadRow]) -> None:
    """Write into a patient's records how far the patient moved between the phases that share one mask."""
    shifts = shifts_under_one_mask([(reading.row, reading.cases[0]) for reading in readings])
    for reading, (shift_mm, remark) in zip(readings, shifts, strict=True):
        for record in reading.records:
            record["phase_shift_mm"] = shift_mm
            if remark:
                added(record, remark)


def say_times(readings: list[ReadRow]) -> None:
    """Write into a patient's records when their phases were scanned, and what is of another examination."""
    records = [record for reading in readings for record in reading.records]
    scanned = [record for record in records if "exam" in record]
    times = since_first_phase([(record["phase"], record["exam"]) for record in scanned])
    for record, (seconds, remark) in zip(scanned, times, strict=True):
        if seconds is not None:
            record["phase_time_s"] = seconds
        if remark:
            added(record, remark)


def say_overlaps(readings: list[ReadRow]) -> None:
    """Write into the records of a phase's further readers how much their (largest) tumour overlaps the first's."""
    first: dict[str, Case] = {}
    for reading in readings:
        case = reading.cases[0]
        if case is not None and first.setdefault(reading.row["phase"], case) is not case:
            reading.records[0]["dice"] = overlap(first[reading.row["phase"]], case)


def case_table(records: list[dict[str, Any]], regions: dict[str, Any]) -> pd.DataFrame:
    """The table of cases, a row a record."""
    further = [f"{rim}_{key}" for rim in regions.get("more_rims") or {} for key in OF_A_RIM]
    columns = IDENTITY + REGIONS + MEASURED + GEOMETRY + SCAN + further + SERIES
    return pd.DataFrame(records, columns=columns)


def region_table(records: list[dict[str, Any]]) -> pd.DataFrame:
    """The tidy table of regions: one row a case and region, with what its shell lost."""
    rows = []
    for record in records:
        for line in record.get("region_table", []):
            rows.append({name: record[name] for name in REGION_KEY} | line)
    return pd.DataFrame(rows, columns=[*REGION_KEY, *REGION_TABLE])
