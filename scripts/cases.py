"""Rule cases: the cropped cases of a batch, their table and a picture per patient; bad ones are named, others go on."""

from __future__ import annotations

import argparse
import json
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd

from recur.cli import progress, reported
from recur.images.acquisition import acquisition_rows, since_first_phase
from recur.images.align import shifts_under_one_mask
from recur.images.case import make_case
from recur.images.case_cache import cached_cases
from recur.images.case_file import Case
from recur.images.flags import added
from recur.images.montage import Reading, draw_montage, draw_thumbnail, overlap, save_picture
from recur.images.slices import slices_script
from recur.isolated import Crashed, isolated
from recur.tables import StudyError, read_table, write_table, write_text

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
LOST = ["lost_image", "lost_liver", "lost_hu", "lost_lesions", "lost_vessels"]
REGION_TABLE = ["region", "voxels", "ml", "median", "shell_fraction", *LOST, "reason"]


def process(row: dict[str, Any], regions: dict[str, Any], cache: Path) -> list[tuple[dict[str, Any], Case | None]]:
    """Rows of the case table (one; with `lesions: each` one a lesion), and their cases unless excluded.

    StudyError if the study stops on errors.
    """
    record = {key: row[key] for key in ("patient_id", "phase", "reader")}
    try:
        found = cached_cases(row, regions, cache)
    except StudyError as error:
        reason = f"{row['phase']} {row['reader']}: {error}"
        if regions.get("on_error") == "stop":
            raise StudyError(f"patient {row['patient_id']} {reason}") from None
        return [(record | {"status": "excluded", "reason": reason, "cause": str(error)}, None)]
    return [(record | {"case": name, "status": "ok"} | case.facts, case) for name, case in found]


def region_rows(records: list[dict[str, Any]]) -> pd.DataFrame:
    """The tidy table of regions: one row a case and region, with what its shell lost."""
    own = ("patient_id", "phase", "reader", "lesion")
    rows = [{key: r[key] for key in own} | line for r in records for line in r.get("region_table", [])]
    return pd.DataFrame(rows, columns=[*own, *REGION_TABLE])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inventory", type=Path, required=True)
    parser.add_argument("--regions", type=json.loads, required=True, help="settings of the regions, JSON")
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--batches", type=int, default=1)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--regions-table", type=Path, required=True, help="a row a case and region")
    parser.add_argument("--acquisition", type=Path, required=True, help="how each phase was scanned")
    parser.add_argument("--qc", type=Path, required=True, help="directory of the pictures")
    parser.add_argument("--synthetic", action="store_true", help="the patients are generated: say so in the pictures")
    args = parser.parse_args()
    with reported():
        table = read_table(args.inventory)
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        args.qc.mkdir(parents=True, exist_ok=True)
        records: list[dict[str, Any]] = []
        patients = [(patient, list(own)) for patient, own in groupby(rows, itemgetter("patient_id"))]
        what = f"regions and pictures, batch {args.batch + 1} of {args.batches}"
        for patient, own in progress(patients, len(patients), what, "patients"):
            mine = [(row, process(row, args.regions, args.cache)) for row in own]
            say_shifts(mine)
            say_times(mine)
            phases: dict[str, list[Reading]] = {}
            for row, found in mine:
                records += [record for record, _ in found]
                phases.setdefault(row["phase"], []).append(reading(row, *found[0], args.regions))  # the largest lesion
            say_overlaps(mine)
            draw(patient, phases, args.qc, args.synthetic)
        further = [
            f"{rim}_{key}" for rim in args.regions.get("more_rims") or {} for key in ("voxels", "ml", "shell_fraction")
        ]
        columns = IDENTITY + REGIONS + MEASURED + GEOMETRY + SCAN + further + SERIES
        write_table(pd.DataFrame(records, columns=columns), args.output)
        write_table(region_rows(records), args.regions_table)
        write_table(acquisition_rows(records), args.acquisition)


def say_shifts(mine: list[tuple[dict[str, Any], list[tuple[dict[str, Any], Case | None]]]]) -> None:
    """Write into a patient's records how far the patient moved between the phases that share one mask."""
    shifts = shifts_under_one_mask([(row, found[0][1]) for row, found in mine])
    for (_, found), (shift_mm, remark) in zip(mine, shifts, strict=True):
        for record, _ in found:
            record["phase_shift_mm"] = shift_mm
            if remark:
                added(record, remark)


def say_times(mine: list[tuple[dict[str, Any], list[tuple[dict[str, Any], Case | None]]]]) -> None:
    """Write into a patient's records when their phases were scanned, and what is of another examination."""
    scanned = [(row["phase"], record) for row, found in mine for record, _ in found if "exam" in record]
    times = since_first_phase([(phase, record["exam"]) for phase, record in scanned])
    for (_, record), (seconds, remark) in zip(scanned, times, strict=True):
        if seconds is not None:
            record["phase_time_s"] = seconds
        if remark:
            added(record, remark)


def say_overlaps(mine: list[tuple[dict[str, Any], list[tuple[dict[str, Any], Case | None]]]]) -> None:
    """Write into the records of a phase's further readers how much their (largest) tumour overlaps the first's."""
    first: dict[str, Case] = {}
    for row, found in mine:
        record, case = found[0]
        if case is not None and first.setdefault(row["phase"], case) is not case:
            record["dice"] = overlap(first[row["phase"]], case)


def reading(row: dict[str, Any], record: dict[str, Any], case: Case | None, regions: dict[str, Any]) -> Reading:
    """What the picture shows of a row; a case that was refused for its rim is the one people want to look at."""
    if record["status"] == "ok":
        return Reading(row["reader"], case, caption(record))
    try:  # in a process of its own: what crashed once crashes again
        case = isolated(lambda: make_case(row, regions | {"min_shell_fraction": None, "rim_hu_floor": None}))
    except (StudyError, Crashed):
        case = None
    return Reading(row["reader"], case, record["cause"], excluded=True)


def draw(patient_id: str, phases: dict[str, list[Reading]], folder: Path, synthetic: bool) -> None:
    """The montage of a patient and, for the QC page, a thumbnail and the slices of each phase."""
    save_picture(draw_montage(patient_id, phases, synthetic), folder / f"{patient_id}.png")
    for phase, readings in phases.items():
        small = draw_thumbnail(readings)
        if small:
            save_picture(small, folder / "thumbnails" / f"{patient_id}_{phase}.jpg")
            write_text(slices_script(readings), folder / "slices" / f"{patient_id}_{phase}.js")


def caption(record: dict[str, Any]) -> str:
    size = f"tumour {record['tumour_ml']:.1f} ml, {record['diameter_mm']:.0f} mm"
    shell = "" if record["shell_fraction"] is None else f", rim {100 * record['shell_fraction']:.0f} % of shell"
    return size + shell + (f". {record['flags'].replace(';', '; ')}" if record["flags"] else "")


if __name__ == "__main__":
    main()
