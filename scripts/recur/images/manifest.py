"""The image manifest of a public collection: which phase a volume shows, and which segment is tumour and which liver.

Collections name their series as the scanner did ("Recon 2: LIVER 3 PHASE (AP)", where AP is abdomen and pelvis). A
phase is taken from an unmistakable word, else from the order and the distances in time of the acquisitions.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pydicom

from recur.images.dicom.choice import PHASE_WORDS
from recur.images.dicom.series import Volumes, list_volumes
from recur.images.dicom.slices import DICOM_ERRORS, files_of, open_dicom
from recur.images.labels import choose
from recur.tables import StudyError

MANIFEST = ["patient_id", "phase", "reader", "image", "series", "mask", "mask_label", "liver_mask", "liver_label"]
LEFT_OUT = ["patient_id", "phase", "reason"]
NATIVE, ARTERIAL, PORTAL, DELAYED = PHASES = ("NC", "AP", "PVP", "DP")
# seconds between the starts of two acquisitions; late arterial at 30 to 40 s, portal venous at 60 to 80 s, delayed from
# 150 s after the injection (usual liver protocols; from memory)
SAME_SCAN, NEXT_PHASE = 5, 90
SHORTEST_WORD = 3  # "AP" is abdomen and pelvis as often as arterial


class Found(NamedTuple):
    """A volume of a patient: its folder, its series, which volume of the series (from 1), its start (s), its slices."""

    path: str
    series: Volumes
    part: int
    start: float | None
    slices: int


def image_manifest(series: pd.DataFrame, root: Path, public: dict[str, Any], phases: list[str]) -> tuple[Any, Any]:
    """Rows of the image manifest (MANIFEST) and what no row could be made for (LEFT_OUT).

    series: what was downloaded (store.FETCHED), paths below `root`. `public` is the study's section: the labels
    `tumour` and `liver`, and `phase` where all images of the collection show one and the same.
    """
    rows, left_out = [], []
    for patient, of_patient in series.groupby("patient_id", sort=True):
        try:
            made, missing = patient_rows(of_patient, root, public, phases)
        except (StudyError, *DICOM_ERRORS) as error:
            made = []
            missing = [("", " ".join(str(error).split()) or type(error).__name__)]
        rows += [{"patient_id": patient, "reader": "reader1"} | row for row in made]
        left_out += [(patient, phase, reason) for phase, reason in missing]
    return pd.DataFrame(rows, columns=MANIFEST), pd.DataFrame(left_out, columns=LEFT_OUT)


def patient_rows(
    of_patient: pd.DataFrame, root: Path, public: dict[str, Any], phases: list[str]
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Manifest rows of one patient, and (phase, reason) of phases without one. Raises StudyError, DICOM_ERRORS."""
    masks, images = of_patient[of_patient["modality"] == "SEG"], of_patient[of_patient["modality"] != "SEG"]
    if len(masks) != 1:
        raise StudyError(f"{len(masks)} segmentations, one is needed")
    mask = masks["path"].iloc[0]
    drawn_on, frame, names = segmentation(root / mask)
    choose(public["tumour"], names, mask, "segment")
    label = {"mask": mask, "mask_label": public["tumour"]}
    if "liver" in public and _has(public["liver"], names):
        label |= {"liver_mask": mask, "liver_label": public["liver"]}
    volumes = [
        Found(path, series, part, start, slices)
        for path in sorted(images["path"])
        for series in list_volumes(root / path)
        for part, (start, slices) in enumerate(zip(series.starts, series.slices, strict=True), 1)
    ]
    # a mask means something only where the patient lay as when it was drawn
    fitting = [v for v in volumes if v.series.uid == drawn_on or (frame and v.series.frame == frame)]
    if not fitting:
        raise StudyError("no image is in the segmentation's frame of reference")
    if "phase" in public:
        own_series = [v for v in fitting if v.series.uid == drawn_on] or fitting
        assigned = {public["phase"]: own_series}
    else:
        assigned = assign_phases(fitting)
    rows, missing = [], []
    for phase in phases:
        candidates = assigned.get(phase, [])
        if not candidates:
            seen = "; ".join(f"{v.series.description or '-'} part {v.part}" for v in fitting)
            missing.append((phase, f"no volume is known to be {phase}: {seen}"))
            continue
        best = min(candidates, key=lambda v: (v.series.uid != drawn_on, -v.slices, v.path, v.part))
        choice = f"part:{best.part}" if len(best.series.slices) > 1 else None
        rows.append({"phase": phase, "image": best.path, "series": choice} | label)
    return rows, missing


def segmentation(folder: Path) -> tuple[str | None, str | None, dict[int, str]]:
    """Series that a DICOM SEG was drawn on, its frame of reference, and its segments by number."""
    data: pydicom.Dataset = open_dicom(files_of(folder)[0])
    if data is None:
        raise StudyError(f"{folder.name}: not a DICOM file")
    references = data.get("ReferencedSeriesSequence") or []
    drawn_on = str(references[0].SeriesInstanceUID) if references else None
    names = {int(s.SegmentNumber): str(s.get("SegmentLabel", "")) for s in data.SegmentSequence}
    return drawn_on, str(data.get("FrameOfReferenceUID") or "") or None, names


def _has(label: str, names: dict[int, str]) -> bool:
    try:
        return bool(choose(label, names, "", "segment"))
    except StudyError:
        return False


def assign_phases(volumes: list[Found]) -> dict[str, list[Found]]:
    """Phase -> the volumes that show it (reconstructions of one scan together); volumes in doubt are left out.

    A word of the description decides, if of one phase only. The others are put in order of time: a scan that the next
    follows within 90 s is arterial and the next one portal venous; where the second comes later than that, the first
    was portal venous; what comes after the portal venous scan is delayed. A single scan without a word says nothing.
    """
    assigned: dict[str, list[Found]] = {}
    unnamed = []
    for volume in volumes:
        phase = phase_word(volume.series.description)
        if phase and len(volume.series.slices) == 1:
            assigned.setdefault(phase, []).append(volume)
        elif volume.start is not None:
            unnamed.append(volume)
    scans: list[list[Found]] = []
    for volume in sorted(unnamed, key=lambda v: v.start):
        if scans and volume.start - scans[-1][0].start <= SAME_SCAN:
            scans[-1].append(volume)
        else:
            scans.append([volume])
    starts = [scan[0].start for scan in scans]
    if len(scans) > 1:
        early = starts[1] - starts[0] <= NEXT_PHASE
        order = ([ARTERIAL] if early else []) + [PORTAL] + [DELAYED] * len(scans)
        for phase, scan in zip(order, scans, strict=False):
            assigned.setdefault(phase, []).extend(scan)
    return assigned


def phase_word(description: str) -> str | None:
    """The phase that a series description names, if it names exactly one."""
    words = {w for w in re.findall(r"[^\W\d_]+", description.lower()) if len(w) >= SHORTEST_WORD}
    named = [phase for phase, line in zip(PHASES, PHASE_WORDS, strict=False) if words & line]
    return named[0] if len(named) == 1 else None
