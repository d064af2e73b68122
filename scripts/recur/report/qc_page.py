"""The page to check all images of a study: a row per case, worst first, with its picture one click away.

One HTML file beside the pictures' folders; it works from the folder, without a server, a network or JavaScript
(then as a plain table). Everything in it that comes from tables is escaped, and only its own script may run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from recur.images.flags import OTHER
from recur.images.manifest import PHASES
from recur.images.review import COLUMNS, REDRAW, SEEN, strangers_line
from recur.report import pages
from recur.tables import first_of

HU_RANGE = (-20.0, 250.0)  # medians of soft tissue, with and without contrast
FEW = 500  # voxels of a region
VERY_FEW = 100
CLIPPED = 0.1  # share of the rim's shell
THICK = 3.0  # largest over smallest spacing
VERY_THICK = 5.0
TWOFOLD = 2.0  # tumour volumes of one patient
LEAST_DICE = 0.7  # of two readers' tumours
FAR_MM = 10.0  # a breath moves a liver by 10 to 20 mm
DARKER = {"aorta": 0.0, "liver": 10.0}  # HU by which an organ may be darker in the phase in which it is brighter
BLOOD_HU = 80.0  # of unenhanced blood at most; the aorta of any phase with contrast is above
NEARLY_ALL = 0.9  # a remark on so many of the cases is one on the study
LEAST_ROWS = 5
CONCERNS = {  # key -> (name in the filter, points or 0 where they are measured, what the points are for); worst first
    "excluded": ("excluded", 0, "100 points: excluded"),
    "redraw": ("to redraw", 50, "noted redraw (images.review), and the mask has not changed since"),
    "inverted": ("inverted mask", 30, "the mask looks inverted"),
    "not_hu": ("no HU", 30, "grey values are hardly HU"),
    "size": ("odd size", 30, "voxels or tumour of a size that is hardly possible"),
    "phases": ("phases", 20, "times or enhancement contradict the names of the phases"),
    "contrast": ("contrast", 20, f"an aorta of {BLOOD_HU:g} HU or less with, or of more without contrast"),
    "exam": ("other examination", 15, "scanned on another occasion than the patient's other phases"),
    "apart": ("two positions", 10, "two statements on where image or mask lie contradict each other"),
    "outside": ("outside the organ", 10, "the tumour lies outside the liver mask"),
    "moved": ("moved", 0, f"5 points: moved between phases under one mask; 10 over {FAR_MM:g} mm"),
    "clipped": ("clipped rim", 0, f"10 points x the share of the rim's shell that was lost, from {CLIPPED:g} on"),
    "edge": ("image's edge", 8, "the tumour touches the edge of the image: part of it may be missing"),
    "short": ("slices missing", 8, "slices that belong to the scan are not in it"),
    "contours": ("contours", 6, "contours were left out, or slices have none"),
    "odd": ("odd HU", 5, "the median of a region is outside {:g} to {:g} HU (CT)".format(*HU_RANGE)),
    "few": ("few voxels", 0, f"2 points: a region of fewer than {FEW} voxels; 5 of fewer than {VERY_FEW}"),
    "series": ("other series", 4, "the mask was drawn on another series"),
    "axes": ("no orientation", 4, "the file does not say how the patient lies"),
    "volumes": ("volumes differ", 3, f"another reader or phase has a tumour {TWOFOLD:g} times as large or small"),
    "overlap": ("readers differ", 3, f"its tumour overlaps the first reader's with a Dice below {LEAST_DICE:g}"),
    "pieces": ("pieces", 3, "the tumour falls into pieces, or has specks"),
    "left_out": ("rim left out", 2, "a further rim or a lesion was left out"),
    "thick": ("thick slices", 0, f"1 point: a voxel is over {THICK:g} times as long as wide; 2 over {VERY_THICK:g}"),
    "lossy": ("lossy", 1, "lossy compressed"),
    "review": ("note out of date", 1, "mask or image have changed since the note"),
    "copied": ("copies", 1, "slices that were there twice were left out"),
    "adapted": ("geometry adapted", 1, "the image or the mask was brought to another geometry"),
    "rim": ("rim not in liver", 1, "no liver mask to cut the rim with"),
    OTHER: ("other flags", 1, "each other flag"),
}
MEASURED_HERE = ("thick", "odd")  # flags that are judged by the columns
# of a row or a patient, never of the study
NOT_COMMON = ("excluded", "redraw", "review", "volumes", "overlap", "phases", "exam")


FORMS = {  # of flags with numbers, of kinds that say one thing only: see Remark
    "copied": "… identical duplicate slices left out",
    "edge": "tumour touches the image's edge (… voxels)",
    "outside": "… % of the tumour lies outside the liver mask",
}


class Remark(NamedTuple):
    """What is worth a look in a case: a key of CONCERNS, its points, its words.

    form: the words that it shares with the same remark on other cases, `…` for its numbers; those of text where empty.
    """

    kind: str
    points: float
    text: str
    form: str = ""


def concerns(cases: pd.DataFrame, regions: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The case table with columns score, kinds (keys of CONCERNS), why and more, worst first; remarks on nearly all.

    `cases`: rows of images/batch-*.csv; `regions`: rows of images/regions/batch-*.csv (a row a case and region). Each
    region adds the columns `<region> voxels` and `<region> median`, each rim `<region> kept`. What stands on nearly
    every row is said once, has no points and is in the column more instead of why.
    """
    key = ["patient_id", "phase", "reader"]
    own = [*key, "lesion"] if {"lesion"} <= set(cases) & set(regions) else key
    table = cases.reset_index(drop=True)
    measured = regions.set_index([*own, "region"])[["voxels", "median", "shell_fraction"]]
    for name in regions["region"].drop_duplicates():
        part = measured.xs(name, level="region") if len(measured) else measured
        found = part.reindex(pd.MultiIndex.from_frame(table[own]))
        table[f"{name} voxels"] = found["voxels"].to_numpy()
        table[f"{name} median"] = found["median"].to_numpy()
        if name != "tumour":
            table[f"{name} kept"] = found["shell_fraction"].to_numpy()
    spacing = table[["spacing_x", "spacing_y", "spacing_z"]].astype(float)
    table["spacing ratio"] = spacing.max(axis=1) / spacing.min(axis=1)
    smallest, largest = (table.groupby("patient_id")["tumour_ml"].transform(how) for how in ("min", "max"))
    times = np.maximum(table["tumour_ml"] / smallest, largest / table["tumour_ml"])
    if {"lesions"} <= set(table):
        times = times.where(table["lesions"].fillna(1).astype(float) == 1)
    rows = table.to_dict("records")
    judged = [_judge(row, ratio) for row, ratio in zip(rows, times, strict=True)]
    swapped = _phases_contradicted(rows)
    judged = [[*swapped.get(i, []), *found] for i, found in enumerate(judged)]
    shared = _common(rows, judged)
    kept = [[remark for remark in found if _alike(remark) not in shared] for found in judged]
    table["score"] = [float(sum(remark.points for remark in found)) for found in kept]
    table["kinds"] = [" ".join(dict.fromkeys(remark.kind for remark in found)) for found in kept]
    table["why"] = ["; ".join(_worst_first(found)) for found in kept]
    moved = [[remark for remark in found if _alike(remark) in shared] for found in judged]
    table["more"] = ["; ".join(_worst_first(found)) for found in moved]
    table["seen"] = [_is_seen(row) for row in rows]
    # nothing tells whether a case is excluded for the reason that was seen: it stays on top
    table["done"] = table["seen"] & (table["status"] == "ok")
    order = ["done", "score", "patient_id", "phase", "reader"]
    table = table.sort_values(order, ascending=[True, False, True, True, True], kind="stable").reset_index(drop=True)
    return table, list(shared.values())


def _worst_first(found: Sequence[Remark]) -> list[str]:
    return [remark.text for remark in sorted(found, key=lambda remark: -remark.points)]


def _judge(row: dict, times: float) -> list[Remark]:
    """Everything that is worth a look in one row."""
    found = _noted(row)
    if row["status"] != "ok":
        return [Remark("excluded", 100, f"excluded: {row['reason']}"), *found]
    found += _judge_regions(row)
    if row["spacing ratio"] > THICK:
        points = 1 if row["spacing ratio"] <= VERY_THICK else 2
        found.append(Remark("thick", points, f"spacing ratio {row['spacing ratio']:.1f}", "spacing ratio …"))
    if times > TWOFOLD:
        found.append(_remark("volumes", f"tumour volumes of this patient differ {times:.1f}-fold"))
    if row.get("dice", 1.0) < LEAST_DICE:
        found.append(_remark("overlap", f"Dice {row['dice']:.2f} with the first reader"))
    return found + _contrast(row) + _flagged(row)


def _is_seen(row: dict) -> bool:
    """Whether somebody looked at this very mask and image and found them good."""
    return row.get("verdict") == SEEN and not row["outdated"]


def _noted(row: dict) -> list[Remark]:
    """What a note on the mask (images.review) still asks for."""
    if not row.get("verdict") and not row.get("note"):
        return []
    if row["outdated"]:
        return [_remark("review", f"noted {row['verdict'] or 'something'} on other voxels than now: look again")]
    if row["verdict"] != REDRAW:
        return []
    known = "and the mask is unchanged" if row["noted_mask"] else "of which voxels is not known"
    return [_remark("redraw", f"noted redraw, {known}")]


def _contrast(row: dict) -> list[Remark]:
    """Whether the aorta, where it is masked, shows the contrast that the name of the phase promises."""
    aorta = row.get("aorta_median", np.nan)
    if row["phase"] not in PHASES or not _has_hu(row) or np.isnan(aorta):
        return []
    native = row["phase"] == PHASES[0]
    if native and aorta > BLOOD_HU:
        return [_with_number("contrast", f"aorta of {{}} HU in {row['phase']}: with contrast?", aorta)]
    if not native and aorta <= BLOOD_HU:
        return [_with_number("contrast", f"aorta of {{}} HU in {row['phase']}: without contrast?", aorta)]
    return []


def _judge_regions(row: dict) -> list[Remark]:
    found = []
    for name in [column.removesuffix(" voxels") for column in row if column.endswith(" voxels")]:
        voxels = row[f"{name} voxels"]
        median = row[f"{name} median"]
        kept = row.get(f"{name} kept")
        if name == "rim" and 1 - kept >= CLIPPED:
            lost = _with_number("clipped", "{} % of the rim's shell lost", 100 * (1 - kept))
            found.append(lost._replace(points=10 * (1 - kept)))
        if voxels < FEW:
            few = _with_number("few", f"{name} of {{}} voxels", voxels)
            found.append(few._replace(points=2 if voxels >= VERY_FEW else 5))
        if _has_hu(row) and not np.isnan(median) and not HU_RANGE[0] <= median <= HU_RANGE[1]:
            found.append(_with_number("odd", f"{name} median {{}} HU", median))
    return found


def _flagged(row: dict) -> list[Remark]:
    """The flags of a case by their kinds."""
    texts, kinds = (row[name].split(";") if isinstance(row.get(name), str) else [] for name in ("flags", "flag_kinds"))
    kinds += [OTHER] * (len(texts) - len(kinds))
    found = []
    for text, kind in zip(texts, kinds, strict=False):
        if kind in MEASURED_HERE or not text.strip():
            continue
        remark = _remark(kind if kind in CONCERNS else OTHER, text.strip())
        if kind == "moved":
            far = float(row.get("phase_shift_mm", np.nan)) > FAR_MM
            remark = remark._replace(points=10 if far else 5)
        found.append(remark)
    return found


def _remark(kind: str, text: str) -> Remark:
    return Remark(kind, CONCERNS[kind][1], text, FORMS.get(kind, ""))


def _with_number(kind: str, words: str, number: float) -> Remark:
    """A remark with the number, in whole ones, at the place {} of its words."""
    return _remark(kind, words.replace("{}", f"{number:.0f}"))._replace(form=words.replace("{}", "…"))


def _has_hu(row: dict) -> bool:
    return row.get("modality", "CT") == "CT" and row.get("normalise", "none") == "none"


def _phases_contradicted(rows: list[dict]) -> dict[int, list[Remark]]:
    """Row -> what in its patient's times or organs contradicts the names NC, AP, PVP and DP.

    They follow each other in this order; the aorta is brighter in the arterial than in the portal venous phase, the
    liver the other way round (by DARKER; only where organs are masked and grey values are HU).
    """
    first: dict[str, dict[str, int]] = {}  # of each phase of a patient, that of the first reader
    for i, row in enumerate(rows):
        first.setdefault(row["patient_id"], {}).setdefault(row["phase"], i)
    found: dict[int, list[Remark]] = {}
    for own in first.values():
        for early, late in combinations([own[phase] for phase in PHASES if phase in own], 2):
            remarks = [_remark("phases", text) for text in _contradictions(rows[early], rows[late])]
            for i in (early, late):
                found.setdefault(i, []).extend(remarks)
    return found


def _contradictions(early: dict, late: dict) -> list[str]:
    texts = []
    if early.get("phase_time_s", np.nan) > late.get("phase_time_s", np.nan):
        texts.append(f"{late['phase']} was scanned before {early['phase']}")
    if (early["phase"], late["phase"]) != ("AP", "PVP") or not (_has_hu(early) and _has_hu(late)):
        return texts
    for organ, bright, dark in (("aorta", early, late), ("liver", late, early)):
        less, more = (row.get(f"{organ}_median", np.nan) for row in (bright, dark))
        if less < more - DARKER[organ]:
            whose = f"{organ} of {dark['phase']} ({more:.0f} HU) is brighter than of {bright['phase']} ({less:.0f} HU)"
            texts.append(whose)
    return texts


def _alike(remark: Remark) -> tuple[str, str]:
    """Remarks that differ in their numbers only are one."""
    return remark.kind, remark.form or remark.text


def _common(rows: list[dict], judged: list[list[Remark]]) -> dict[tuple[str, str], str]:
    """Remarks that stand on nearly every case, by what they have in common, and a line on each with the exceptions."""
    analysed = [i for i, row in enumerate(rows) if row["status"] == "ok"]
    holders: dict[tuple[str, str], dict[int, str]] = {}
    for i in analysed:
        for remark in judged[i]:
            if remark.kind not in NOT_COMMON:
                holders.setdefault(_alike(remark), {})[i] = remark.text
    lines = {}
    for key, held in holders.items():
        if len(held) < max(LEAST_ROWS, NEARLY_ALL * len(analysed)):
            continue
        texts = set(held.values())
        text = texts.pop() if len(texts) == 1 else key[1]
        others = [f"{rows[i]['patient_id']} {rows[i]['phase']}" for i in analysed if i not in held]
        but = f"; not on {first_of(others)}" if others else ""
        lines[key] = f"{text} ({len(held)} of {len(analysed)} cases{but})"
    return lines


def page(
    table: pd.DataFrame, common: Sequence[str], study: str, synthetic: bool = False, lost: pd.DataFrame | None = None
) -> str:
    """The HTML page of a table and the common remarks of `concerns`.

    Also read of the table: picture, thumbnail, slices (relative paths or ""), centre. lost: notes (recur.images.review)
    that are on no case.
    """
    lost = pd.DataFrame(columns=COLUMNS) if lost is None else lost
    columns = _columns(table)
    return pages.page(
        "qc.html",
        f"Image check: {study}",
        ["qc.css"],
        "qc.js",
        {"img-src": "'self' file:", "script-src": "'self' file:"},  # pictures and slices beside the page
        heading=f"Image check: {study}",
        synthetic="SYNTHETIC DATA" if synthetic else None,
        counts=_counts(table),
        seen=int(table["seen"].sum()),
        common=common,
        lost=f"images.review: {strangers_line(lost)}" if len(lost) else "",
        notes=json.dumps(lost.to_dict("records")),
        points=[_points(*line) for line in CONCERNS.values()],
        selects=_selects(table),
        columns=columns,
        rows=[_row(row, columns) for row in table.to_dict("records")],
    )


def _points(name: str, points: int, text: str) -> str:
    if not points:
        return text
    return f"{points} {'points' if points > 1 else 'point'}: {text}"


def _columns(table: pd.DataFrame) -> list[tuple[str, str, int | None]]:
    """(title, column, digits or None for text) of the page, in order."""
    names = [column.removesuffix(" voxels") for column in table if column.endswith(" voxels")]
    level = "HU" if all(_has_hu(row) for row in table[table["status"] == "ok"].to_dict("records")) else "median"
    columns: list[tuple[str, str, int | None]] = [
        ("Axial, coronal", "picture", None), ("Patient", "patient_id", None), ("Centre", "centre", None),
        ("Phase", "phase", None), ("Reader", "reader", None), ("Lesion", "lesion", 0), ("Score", "score", 1),
        ("Why", "why", None), ("Note", "note", None), ("Volume, ml", "tumour_ml", 1),
        ("Diameter, mm", "diameter_mm", 0), ("Pieces", "pieces", 0), ("Edge voxels", "edge_voxels", 0),
    ]  # fmt: skip
    if "lesion" in table and table["lesion"].fillna(1).astype(float).max() <= 1:
        columns.remove(("Lesion", "lesion", 0))
    if table["reader"].nunique() == 1:
        columns.remove(("Reader", "reader", None))
    columns += [(f"{name.capitalize()} {level}", f"{name} median", 0) for name in names]
    columns += [(f"Liver {level}", "liver_median", 0), (f"Aorta {level}", "aorta_median", 0)]
    columns += [("Seconds since first phase", "phase_time_s", 0)]
    for name in names:
        columns += [(f"{name.capitalize()} voxels", f"{name} voxels", 0)]
        columns += [(f"{name.capitalize()} kept, %", f"{name} kept", -2)]
    columns += [("Dice of readers", "dice", 2)]
    columns += [("Spacing ratio", "spacing ratio", 1), ("Voxel, mm", "voxel", 0)]
    columns += [("Series", "series_description", None)]
    optional = ("dice", "liver_median", "aorta_median", "phase_time_s", "series_description")
    empty = [name for name in optional if name not in table or table[name].isna().all()]
    return [column for column in columns if (column[1] in table and column[1] not in empty) or column[1] == "voxel"]


def _counts(table: pd.DataFrame) -> list[tuple[str, int]]:
    kinds = table["kinds"].str.split().explode()
    found = [("patients", table["patient_id"].nunique()), ("cases", len(table))]
    counted = [(name, int((kinds == kind).sum())) for kind, (name, *_) in CONCERNS.items()]
    found += [(name, n) for name, n in counted if n or name == "excluded"]
    return [*found, ("nothing to remark", int((table["kinds"] == "").sum()))]


def _selects(table: pd.DataFrame) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """The filters by what a row has one of: (column, title, (value, text) of the choices)."""
    present = set(" ".join(table["kinds"]).split())
    kinds = [(kind, name) for kind, (name, *_) in CONCERNS.items() if kind in present]
    filters = [("kinds", "Concern", kinds)]
    for column in ("phase", "reader", "centre"):
        values = sorted(table[column].dropna().astype(str).unique()) if column in table else []
        if len(values) > 1:
            filters.append((column, column.capitalize(), [(_token(value), value) for value in values]))
    return [*filters, ("noted", "Noted", [("open", "not seen yet"), (SEEN, SEEN), (REDRAW, REDRAW)])]


def _token(value: object) -> str:
    """A value as one word: the page compares words."""
    return re.sub(r"\s+", "_", str(value))


class Row(NamedTuple):
    """A row of the page; every text as it is, for the template escapes it."""

    kind: str  # classes
    kinds: str  # keys of CONCERNS
    data: dict[str, str]  # what the page's script reads
    cells: list[tuple[str, str]]  # class and text; of the class picture the three below
    name: str
    picture: str
    thumbnail: str


def _row(row: dict, columns: Sequence[tuple[str, str, int | None]]) -> Row:
    data = {}
    for name in ("phase", "reader", "centre"):
        if name in row:
            data[name] = "" if _missing(row[name]) else _token(row[name])
    for name in ("more", "slices", "noted_mask", "noted_image", *COLUMNS):
        data[name] = "" if _missing(row.get(name)) else str(row[name])
    data["outdated"] = "yes" if row.get("outdated") else ""
    classes = {"excluded": row["status"] != "ok", "seen": row["done"]}
    return Row(
        kind=" ".join(name for name, is_so in classes.items() if is_so),
        kinds=row["kinds"],
        data=data,
        cells=[_cell(row, column, digits) for _, column, digits in columns],
        name=f"{row['patient_id']} {row['phase']}",
        picture=row.get("picture") or "",
        thumbnail=row.get("thumbnail") or "",
    )


def _cell(row: dict, column: str, digits: int | None) -> tuple[str, str]:
    """Class and text of a cell."""
    if column == "picture":
        return "picture", ""
    if column == "voxel":
        sides = [row[f"spacing_{axis}"] for axis in "xyz"]
        return "n", "" if np.isnan(sides).any() else " x ".join(f"{side:.3g}" for side in sides)
    if digits is not None:
        return "n", _number(row[column], digits)
    text = _note(row) if column == "note" else row[column]
    return column if column in ("why", "note") else "", "" if _missing(text) else str(text)


def _note(row: dict) -> str:
    return ": ".join(filter(None, [row["verdict"], row["note"]]))


def _number(value: float, digits: int) -> str:
    if _missing(value):
        return ""
    return f"{100 * value:.0f}" if digits == -2 else f"{value:.{digits}f}"


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
