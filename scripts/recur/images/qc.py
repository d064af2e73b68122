"""The page to check all images of a study: a row per case, worst first, with its picture one click away.

One HTML file beside the pictures' folders; it works from the folder, without a server, a network or JavaScript
(then as a plain table). Everything in it that comes from tables is escaped, and only its own script may run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from recur.pages import filled

HERE = Path(__file__).parent
HU_RANGE = (-20.0, 250.0)  # medians of soft tissue, with and without contrast
FEW, VERY_FEW = 500, 100  # voxels of a region
CLIPPED = 0.1  # share of the rim's shell
THICK, VERY_THICK = 3.0, 5.0  # largest over smallest spacing
TWOFOLD = 2.0  # tumour volumes of one patient
LEAST_DICE = 0.7  # of two readers' tumours
CONCERNS = {  # key -> (name in the filter, what its points are)
    "excluded": ("excluded", "100 points: excluded"),
    "clipped": ("clipped rim", f"10 points x the share of the rim's shell that was lost, from {CLIPPED:g} on"),
    "few": ("few voxels", f"2 points: a region of fewer than {FEW} voxels; 5 of fewer than {VERY_FEW}"),
    "odd": ("odd HU", "5 points: the median of a region is outside {:g} to {:g} HU (CT)".format(*HU_RANGE)),
    "thick": (
        "thick slices",
        f"1 point: a voxel is over {THICK:g} times as long as wide; 2 points over {VERY_THICK:g}",
    ),
    "volumes": (
        "volumes differ",
        f"3 points: another reader or phase has a tumour {TWOFOLD:g} times as large or small",
    ),
    "overlap": ("readers differ", f"3 points: its tumour overlaps the first reader's with a Dice below {LEAST_DICE:g}"),
    "flags": ("other flags", "1 point for each other flag"),
}
COUNTED = re.compile(r"slice/in-plane ratio|tumour: median .* is odd")  # flags that have points of their own


def concerns(cases: pd.DataFrame, regions: pd.DataFrame) -> pd.DataFrame:
    """The case table with columns score, kinds (keys of CONCERNS) and why, worst first.

    `cases`: rows of images/batch-*.csv; `regions`: rows of images/regions/batch-*.csv (a row a case and region). Each
    region adds the columns `<region> voxels` and `<region> median`, each rim `<region> kept`.
    """
    key = ["patient_id", "phase", "reader"]
    own = [*key, "lesion"] if {"lesion"} <= set(cases) & set(regions) else key
    table = cases.reset_index(drop=True)
    measured = regions.set_index([*own, "region"])[["voxels", "median", "shell_fraction"]]
    for name in regions["region"].drop_duplicates():
        part = measured.xs(name, level="region") if len(measured) else measured
        found = part.reindex(pd.MultiIndex.from_frame(table[own]))
        table[f"{name} voxels"], table[f"{name} median"] = found["voxels"].to_numpy(), found["median"].to_numpy()
        if name != "tumour":
            table[f"{name} kept"] = found["shell_fraction"].to_numpy()
    spacing = table[["spacing_x", "spacing_y", "spacing_z"]].astype(float)
    table["spacing ratio"] = spacing.max(axis=1) / spacing.min(axis=1)
    smallest, largest = (table.groupby("patient_id")["tumour_ml"].transform(how) for how in ("min", "max"))
    times = np.maximum(table["tumour_ml"] / smallest, largest / table["tumour_ml"])
    if {"lesions"} <= set(table):
        times = times.where(table["lesions"].fillna(1).astype(float) == 1)
    judged = [_judge(row, ratio) for row, ratio in zip(table.to_dict("records"), times, strict=True)]
    table["score"] = [sum(points for _, points, _ in found) for found in judged]
    table["kinds"] = [" ".join(dict.fromkeys(kind for kind, _, _ in found)) for found in judged]
    table["why"] = ["; ".join(text for _, _, text in found) for found in judged]
    order = ["score", "patient_id", "phase", "reader"]
    return table.sort_values(order, ascending=[False, True, True, True], kind="stable").reset_index(drop=True)


def _judge(row: dict, times: float) -> list[tuple[str, float, str]]:
    """(kind, points, words) of everything that is worth a look in one row."""
    if row["status"] != "ok":
        reason = str(row["reason"]).removeprefix(f"{row['phase']} {row['reader']}: ")
        return [("excluded", 100, f"excluded: {reason}")]
    found = []
    for name in [column.removesuffix(" voxels") for column in row if column.endswith(" voxels")]:
        voxels, median, kept = row[f"{name} voxels"], row[f"{name} median"], row.get(f"{name} kept")
        if name == "rim" and 1 - kept >= CLIPPED:
            found.append(("clipped", 10 * (1 - kept), f"{100 * (1 - kept):.0f} % of the rim's shell lost"))
        if voxels < FEW:
            found.append(("few", 2 if voxels >= VERY_FEW else 5, f"{name} of {voxels:.0f} voxels"))
        hu = row.get("modality", "CT") == "CT" and row.get("normalise", "none") == "none"
        if hu and not np.isnan(median) and not HU_RANGE[0] <= median <= HU_RANGE[1]:
            found.append(("odd", 5, f"{name} median {median:.0f} HU"))
    if row["spacing ratio"] > THICK:
        points = 1 if row["spacing ratio"] <= VERY_THICK else 2
        found.append(("thick", points, f"spacing ratio {row['spacing ratio']:.1f}"))
    if times > TWOFOLD:
        found.append(("volumes", 3, f"tumour volumes of this patient differ {times:.1f}-fold"))
    if row.get("dice", 1.0) < LEAST_DICE:
        found.append(("overlap", 3, f"Dice {row['dice']:.2f} with the first reader"))
    flags = row["flags"].split(";") if isinstance(row["flags"], str) else []
    return found + [("flags", 1, flag.strip()) for flag in flags if flag.strip() and not COUNTED.search(flag)]


def page(table: pd.DataFrame, study: str, synthetic: bool = False) -> str:
    """The HTML page of a table of `concerns`; also read: picture, thumbnail (relative paths or ""), centre."""
    columns = _columns(table)
    parts = {
        "study": escape(study),
        "synthetic": '<span class="synthetic">SYNTHETIC DATA</span>' if synthetic else "",
        "counts": "".join(f"<li><b>{n}</b> {escape(what)}</li>" for what, n in _counts(table)),
        "points": "".join(f"<li>{escape(text)}</li>" for _, text in CONCERNS.values()),
        "selects": _selects(table),
        "head": "".join(_head(title, column, digits) for title, column, digits in columns),
        "rows": "\n".join(_row(row, columns) for row in table.to_dict("records")),
    }
    return filled(HERE / "qc.html", HERE / "qc.js", parts)


def _columns(table: pd.DataFrame) -> list[tuple[str, str, int | None]]:
    """(title, column, digits or None for text) of the page, in order."""
    names = [column.removesuffix(" voxels") for column in table if column.endswith(" voxels")]
    columns: list[tuple[str, str, int | None]] = [
        ("Picture", "picture", None), ("Patient", "patient_id", None), ("Centre", "centre", None),
        ("Phase", "phase", None), ("Reader", "reader", None), ("Lesion", "lesion", 0), ("Score", "score", 1),
        ("Why", "why", None), ("Volume, ml", "tumour_ml", 1), ("Diameter, mm", "diameter_mm", 0),
    ]  # fmt: skip
    if "lesion" in table and table["lesion"].fillna(1).astype(float).max() <= 1:
        columns.remove(("Lesion", "lesion", 0))
    for name in names:
        columns += [
            (f"{name.capitalize()} voxels", f"{name} voxels", 0),
            (f"{name.capitalize()} median", f"{name} median", 0),
        ]
        columns += [(f"{name.capitalize()} kept, %", f"{name} kept", -2)]
    if "dice" in table and table["dice"].notna().any():
        columns += [("Dice of readers", "dice", 2)]
    columns += [("Spacing ratio", "spacing ratio", 1), ("Voxel, mm", "voxel", 0)]
    return [column for column in columns if column[1] in table or column[1] == "voxel"]


def _counts(table: pd.DataFrame) -> list[tuple[str, int]]:
    kinds = table["kinds"].str.split().explode()
    found = [("patients", table["patient_id"].nunique()), ("cases", len(table))]
    found += [(name, int((kinds == kind).sum())) for kind, (name, _) in CONCERNS.items()]
    return [*found, ("nothing to remark", int((table["kinds"] == "").sum()))]


def _selects(table: pd.DataFrame) -> str:
    """The filters by what a row has one of."""
    kinds = [(kind, name) for kind, (name, _) in CONCERNS.items()]
    choices = {"kinds": ("Concern", kinds)}
    for column in ("phase", "reader", "centre"):
        values = sorted(table[column].dropna().astype(str).unique()) if column in table else []
        if len(values) > 1:
            choices[column] = (column.capitalize(), [(_token(value), value) for value in values])
    return "\n".join(
        f'<label>{title} <select id="{name}"><option value="">all</option>'
        + "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options)
        + "</select></label>"
        for name, (title, options) in choices.items()
    )


def _token(value: object) -> str:
    """A value as one word: the page compares words."""
    return re.sub(r"\s+", "_", str(value))


def _head(title: str, column: str, digits: int | None) -> str:
    kind = "picture" if column == "picture" else "n" if digits is not None else ""
    extra = ' id="score" aria-sort="descending"' if column == "score" else ""
    return f'<th scope="col" class="{kind}"{extra}>{escape(title)}</th>'


def _row(row: dict, columns: Sequence[tuple[str, str, int | None]]) -> str:
    cells = []
    for _, column, digits in columns:
        if column == "picture":
            cells.append(f"<td>{_link(row)}</td>")
        elif column == "voxel":
            sides = [row[f"spacing_{axis}"] for axis in "xyz"]
            cells.append(f"<td class=n>{'' if np.isnan(sides).any() else ' x '.join(f'{s:.3g}' for s in sides)}</td>")
        elif digits is None:
            kind = " class=why" if column == "why" else ""
            cells.append(f"<td{kind}>{escape(str(row[column])) if not _missing(row[column]) else ''}</td>")
        else:
            cells.append(f"<td class=n>{_number(row[column], digits)}</td>")
    data = {
        name: _token(row[name]) if not _missing(row[name]) else ""
        for name in ("phase", "reader", "centre")
        if name in row
    }
    marks = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    kind = ' class="excluded"' if row["status"] != "ok" else ""
    return f'<tr{kind} data-kinds="{escape(row["kinds"])}"{marks}>{"".join(cells)}</tr>'


def _link(row: dict) -> str:
    if not row.get("picture"):
        return ""
    about = escape(f"{row['patient_id']} {row['phase']}")
    image = f'<img src="{escape(row["thumbnail"])}" alt="{about}" loading="lazy" width="84" height="84">'
    return f'<a href="{escape(row["picture"])}">{image if row.get("thumbnail") else f"picture of {about}"}</a>'


def _number(value: float, digits: int) -> str:
    if _missing(value):
        return ""
    return f"{100 * value:.0f}" if digits == -2 else f"{value:.{digits}f}"


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
