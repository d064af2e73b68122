"""Files of pictures of one patient: the montage, and for the page of all masks thumbnails and slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recur.images import montage
from recur.images.batch import ReadRow
from recur.images.case import make_case
from recur.images.slices import slices_script
from recur.isolated import Crashed, isolated
from recur.tables import StudyError, write_text


def draw_patient(readings: list[ReadRow], regions: dict[str, Any], folder: Path, synthetic: bool) -> None:
    """Draw a patient: of each phase all readers, of each reader the largest lesion.

    regions: settings of the regions; synthetic: the patients are generated, which the picture says.
    """
    phases: dict[str, list[montage.Reading]] = {}
    for reading in readings:
        phases.setdefault(reading.row["phase"], []).append(shown(reading, regions))
    draw(readings[0].row["patient_id"], phases, folder, synthetic)


def shown(reading: ReadRow, regions: dict[str, Any]) -> montage.Reading:
    """What the picture shows of a row; a case that was refused for its rim is the one people want to look at."""
    row = reading.row
    record = reading.records[0]
    if record["status"] == "ok":
        return montage.Reading(row["reader"], reading.cases[0], caption(record))
    try:  # in a process of its own: what crashed once crashes again
        case = isolated(lambda: make_case(row, regions | {"min_shell_fraction": None, "rim_hu_floor": None}))
    except (StudyError, Crashed):
        case = None
    return montage.Reading(row["reader"], case, record["cause"], excluded=True)


def draw(patient_id: str, phases: dict[str, list[montage.Reading]], folder: Path, synthetic: bool) -> None:
    """The montage of a patient and, for the QC page, a thumbnail and the slices of each phase."""
    montage.save_picture(montage.draw_montage(patient_id, phases, synthetic), folder / f"{patient_id}.png")
    for phase, readings in phases.items():
        small = montage.draw_thumbnail(readings)
        if small:
            montage.save_picture(small, folder / "thumbnails" / f"{patient_id}_{phase}.jpg")
            write_text(slices_script(readings), folder / "slices" / f"{patient_id}_{phase}.js")


def caption(record: dict[str, Any]) -> str:
    """Size of the tumour, share of its rim that is left, remarks."""
    size = f"tumour {record['tumour_ml']:.1f} ml, {record['diameter_mm']:.0f} mm"
    shell = "" if record["shell_fraction"] is None else f", rim {100 * record['shell_fraction']:.0f} % of shell"
    remarks = f". {record['flags'].replace(';', '; ')}" if record["flags"] else ""
    return size + shell + remarks
