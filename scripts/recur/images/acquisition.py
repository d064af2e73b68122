"""What a DICOM header says about how an image was made, and nothing about whom it shows.

Only the elements listed here are read, never "all but the identifying ones". Free text among them loses every word that
also stands in an identifying element of the same header and every long number (DICOM PS3.15, E.3.5, clean descriptors).
UIDs are not written: the hash of the series' UID tells whoever holds the images which series was taken, nobody else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from pydicom import Dataset

from recur.images.flags import flag

COLUMNS = {  # column: (keyword, kind); the name of the column has the unit
    "modality": ("Modality", "text"),
    "manufacturer": ("Manufacturer", "text"),
    "model": ("ManufacturerModelName", "text"),
    "kvp": ("KVP", "number"),
    "tube_current_ma": ("XRayTubeCurrent", "number"),
    "exposure_time_ms": ("ExposureTime", "number"),
    "exposure_mas": ("Exposure", "number"),
    "pitch": ("SpiralPitchFactor", "number"),
    "kernel": ("ConvolutionKernel", "text"),
    "reconstruction_diameter_mm": ("ReconstructionDiameter", "number"),
    "slice_thickness_mm": ("SliceThickness", "number"),
    "field_strength_t": ("MagneticFieldStrength", "number"),
    "scanning_sequence": ("ScanningSequence", "text"),
    "sequence_variant": ("SequenceVariant", "text"),
    "acquisition_type": ("MRAcquisitionType", "text"),
    "tr_ms": ("RepetitionTime", "number"),
    "te_ms": ("EchoTime", "number"),
    "ti_ms": ("InversionTime", "number"),
    "flip_angle_deg": ("FlipAngle", "number"),
}
MEASURED = ["columns", "rows", "slices", "pixel_x_mm", "pixel_y_mm", "slice_spacing_mm"]
GEOMETRY = ["size_x", "size_y", "size_z", "spacing_x", "spacing_y", "spacing_z"]  # the same in the case table
ACQUISITION = [*COLUMNS, *MEASURED, "contrast", "contrast_delay_s", "lossy_compression"]
ENHANCED = {  # the same in enhanced multi-frame objects, where the name is another
    "EchoTime": "EffectiveEchoTime",
    "Exposure": "ExposureInmAs",
    "ExposureTime": "ExposureTimeInms",
    "XRayTubeCurrent": "XRayTubeCurrentInmA",
    "ScanningSequence": "EchoPulseSequence",
}
DAY_S = 86400
WORD = re.compile(r"[^\W_]{3,}")
LONG_NUMBER = re.compile(r"\d[\d.\-/:]{4,}\d")
IDENTIFYING = {
    "AccessionNumber",
    "AdmissionID",
    "DeviceSerialNumber",
    "InstitutionAddress",
    "InstitutionName",
    "InstitutionalDepartmentName",
    "RequestingService",
    "StationName",
    "StudyID",
}
# words that identify nobody
GENERAL = {
    "and",
    "anonymised",
    "anonymized",
    "anonymous",
    "case",
    "demo",
    "der",
    "female",
    "hcc",
    "liver",
    "male",
    "patient",
    "phantom",
    "study",
    "synthetic",
    "test",
    "the",
    "von",
}


def identifying_words(header: Dataset) -> set[str]:
    """Words of the header's identifying elements: person names, the patient group, numbers and places."""
    texts = []
    for element in header:
        if element.VR == "PN" or element.tag.group == 0x0010 or element.keyword in IDENTIFYING:
            texts.append(str(element.value))
    return {word.lower() for text in texts for word in WORD.findall(text)} - GENERAL


def clean_text(value: object, words: Iterable[str]) -> str:
    """One line of at most 64 plain characters without the words and without long numbers (dates, ids)."""
    parts = value if not isinstance(value, str) and isinstance(value, Iterable) else [value]
    text = " ".join(str(part) for part in parts if part is not None)
    text = LONG_NUMBER.sub("*", re.sub(r"[^\w .,+\-/()\[\]%:]", " ", text))
    for word in sorted(words, key=len, reverse=True):
        text = re.sub(re.escape(word), "*", text, flags=re.IGNORECASE)
    return " ".join(text.split()).lstrip("+-")[:64]  # a spreadsheet takes a first + or - for a formula


def series_hash(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:12]


def number(value: object) -> float | None:
    """A finite number, the first of several, or None."""
    first = value[0] if not isinstance(value, str) and hasattr(value, "__getitem__") and len(value) else value
    try:
        value_read = float(first)
    except (TypeError, ValueError):
        return None
    return value_read if np.isfinite(value_read) else None


def seconds(date: object, time: object) -> float | None:
    """Seconds on an arbitrary clock of a DICOM date and time (or of a DT value and None); None if not given."""
    text = str(date or "").split(".")[0] if time is None else f"{date or '19000101'}{str(time).split('.')[0]}"
    fraction = re.search(r"\.(\d{1,6})", str(date if time is None else time))
    match = re.match(r"\d{14}|\d{12}|\d{10}", text)
    if not match:
        return None
    try:
        moment = datetime.strptime(match[0].ljust(14, "0"), "%Y%m%d%H%M%S")
    except ValueError:
        return None
    return (moment - datetime(1900, 1, 1)).total_seconds() + float(f"0.{fraction[1]}" if fraction else 0)


def acquisition_time(header: Dataset) -> float | None:
    """Seconds of the acquisition's start on an arbitrary clock: only differences are of use, and only they go on."""
    if header.get("AcquisitionDateTime"):
        return seconds(header.AcquisitionDateTime, None)
    for what in ("Acquisition", "Content", "Series"):
        if header.get(f"{what}Time"):
            day = header.get(f"{what}Date") or header.get("StudyDate")
            return seconds(day, header.get(f"{what}Time"))
    return None


def examination(header: Dataset, start: float | None) -> dict[str, Any]:
    """Hash of the examination's UID and the second of its day at which a volume began: enough to tell how long after
    another phase it was scanned, and no date."""
    uid = str(header.get("StudyInstanceUID") or "")
    second = None if start is None else start % DAY_S
    return {"hash": series_hash(uid) if uid else None, "second": second}


def since_first_phase(scanned: Sequence[tuple[str, dict[str, Any]]]) -> list[tuple[float | None, str | None]]:
    """Of each (phase, examination) of a patient the seconds since the earliest phase, or a remark that it is of another
    examination.

    The examination that most phases are of counts; of several, the first. None where a header tells no time.
    """
    exams = [exam["hash"] for _, exam in scanned]
    if not exams:
        return []
    usual = max(exams, key=exams.count)
    first = scanned[exams.index(usual)][0]
    seconds = [exam["second"] for _, exam in scanned if exam["hash"] == usual and exam["second"] is not None]
    # an examination takes less than half a day, so that the least difference is right over midnight too
    since = {second: (second - seconds[0] + DAY_S / 2) % DAY_S - DAY_S / 2 for second in seconds}
    times: list[tuple[float | None, str | None]] = []
    for _, exam in scanned:
        if exam["hash"] != usual:
            times.append((None, flag("exam", f"of another examination than {first}")))
        elif exam["second"] is None:
            times.append((None, None))
        else:
            times.append((round(since[exam["second"]] - min(since.values()), 3), None))
    return times


def acquisition(header: Dataset) -> dict[str, Any]:
    """The row of the acquisition table, but for what is measured on the voxels: `ACQUISITION` without `MEASURED`.

    `contrast_delay_s` is the acquisition's start minus the bolus' (0018,1042), as far as both are given and the
    difference is one of a contrast phase (0 to 1 h); whatever is absent or garbled is None.
    """
    words = identifying_words(header)
    row: dict[str, Any] = {}
    for column, (keyword, kind) in COLUMNS.items():
        value = _find(header, keyword)
        if kind == "number":
            row[column] = number(value)
        else:
            row[column] = None if value in (None, "") else clean_text(value, words) or None
    agent = _find(header, "ContrastBolusAgent") or header.get("ContrastBolusAgentSequence")
    row["contrast"] = "yes" if agent else None
    row["contrast_delay_s"] = _contrast_delay(header)
    lossy = _find(header, "LossyImageCompression")
    row["lossy_compression"] = None
    if lossy is not None:
        row["lossy_compression"] = "yes" if str(lossy) == "01" else "no"
    return row


def acquisition_rows(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a patient and phase from the records of the case table; of files other than DICOM the geometry only."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for record in records:
        if record["status"] != "ok":
            continue
        measured = dict(zip(MEASURED, (record[key] for key in GEOMETRY), strict=True))
        identity = {"patient_id": record["patient_id"], "phase": record["phase"], "source": record["bits"]}
        rows.setdefault(
            (record["patient_id"], record["phase"]), identity | measured | (record.get("acquisition") or {})
        )
    return pd.DataFrame(list(rows.values()), columns=["patient_id", "phase", "source", *ACQUISITION])


def _contrast_delay(header: Dataset) -> float | None:
    bolus = header.get("ContrastBolusStartTime")
    start = acquisition_time(header)
    if not bolus or start is None:
        return None
    given = seconds("19000101", bolus)
    delay = None if given is None else (start - given) % DAY_S  # over midnight too
    return delay if delay is not None and delay <= 3600 else None


def _find(header: Dataset, keyword: str) -> Any:
    """The element of the header, or of the first functional groups of an enhanced multi-frame image."""
    if header.get(keyword) not in (None, ""):
        return header.get(keyword)
    groups = []
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for frame in list(header.get(name) or [])[:1]:
            groups += [element.value[0] for element in frame if element.VR == "SQ" and element.value]
    for name in (keyword, ENHANCED.get(keyword)):
        for item in [header, *groups]:
            if name and item.get(name) not in (None, ""):
                return item.get(name)
    return None
