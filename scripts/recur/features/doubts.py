"""Values of a feature table that cannot be right or do not fit together: flagged by column, with counts, unchanged."""

from __future__ import annotations

import ast
import re
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from recur.features.cells import is_standardised
from recur.features.imported import Imported
from recur.features.names import SIZE
from recur.tables import NAMED

COLUMNS = ["problem", "column", "patients", "first", "detail"]
# the last one is pyradiomics' coarseness of a flat region
CODES = (-999, -9999, -99999, -99, 999, 9999, 99999, 999999, 1000000)
LOST_POINT = 5.0  # an integer so many times beyond all numbers that have decimals has lost its point
FEW_DECIMALS = 5
LEAST_DIGITS = 100
PACKED = 0.003  # a volume below this share of the sphere around the largest diameter is in another unit
SPHERE = np.pi / 6
MESH_OF_VOXELS = (0.5, 1.1)  # a mesh runs through the outer voxels: it is smaller, in tiny regions by far
REMEDIES = {
    "a code of missing cells": "declare it (features.missing_values)",
    "a decimal point is lost": "write the column anew from its source",
    "z-scores of all patients": "give the values as they were measured",
    "extracted with other settings": "extract all patients with the same",
    "a centre in another unit": "give all centres one unit",
}
VOXELS_JUDGED = 30  # volumes in units of the smallest; below, meshes are coarse
CENTRE_PATIENTS = 10
APART = 0.97  # AUC for the centre of a single feature
ANOTHER_UNIT = (300.0, 3000.0)  # ratio of medians: mm3 against ml
UNIT_INTERVAL = re.compile(
    r"_(?:shape_(?:Sphericity|Elongation|Flatness)|glcm_(?:Id|Idm|Idn|Idmn|Imc2|JointEnergy|MaximumProbability)"
    r"|firstorder_Uniformity|gl(?:rlm|szm|dm)_\w*NonUniformityNormalized|glrlm_RunPercentage|glszm_ZonePercentage)$"
)


def doubts(found: Imported, centres: pd.Series) -> pd.DataFrame:
    """What is doubtful in a feature table (COLUMNS), a row a problem and column: how many patients, the first three.

    centres: centre by patient id of the patients of the study; other rows of the table are not looked at.
    """
    values = found.features.set_index("patient_id")
    values = values[values.index.isin(centres.index)]
    centre = centres.reindex(values.index).fillna("")
    rows = []
    for name in values:
        rows += one_column(name, values[name])
    rows += shapes(values) + other_settings(found.diagnostics, centres) + shifted_centres(values, centre)
    return pd.DataFrame(rows, columns=COLUMNS)


def row(problem: str, column: str, patients: Any, detail: str) -> tuple[str, str, int, str, str]:
    patients = [str(name) for name in patients]
    return problem, column, len(patients), ", ".join(patients[:NAMED]), detail


def one_column(name: str, values: pd.Series) -> list[tuple]:
    """Codes of missing cells, lost decimal points, z-scores in place of sizes, shares beyond 0 to 1."""
    rows = []
    known = values.dropna()
    for code in CODES:
        same, rest = known[known == code], known[known != code]
        if len(same) and len(rest) and far_off(code, rest):
            rows.append(row("a code of missing cells", name, same.index, f"{code} stands for a number"))
    lost = lost_points(known)
    if lost.any():
        rows.append(row("a decimal point is lost", name, known.index[lost], f"such as {known[lost].iloc[0]:.0f}"))
    if SIZE.search(name) and len(known) > NAMED and (known < 0).any() and is_standardised(known):
        rows.append(row("z-scores of all patients", name, known.index, "made before the split, of every patient"))
    elif UNIT_INTERVAL.search(name):
        beyond = known[(known < -1e-9) | (known > 1 + 1e-6)]
        if len(beyond):
            rows.append(row("outside 0 to 1", name, beyond.index, f"such as {beyond.iloc[0]:g}"))
    return rows


def far_off(code: float, rest: pd.Series) -> bool:
    """Whether a code lies further from all other values than these from each other."""
    gap = np.abs(rest - code).min()
    beyond = code < rest.min() or code > rest.max()
    return bool(beyond and gap > rest.max() - rest.min())


def lost_points(values: pd.Series) -> np.ndarray:
    """Integers of three digits and more, far beyond all values with decimals, in a column that has such."""
    integers = (values % 1 == 0).to_numpy() & ~values.isin(CODES).to_numpy()
    decimals = values[~integers].abs()
    if len(decimals) < FEW_DECIMALS or len(decimals) < 0.1 * len(values):
        return np.zeros(len(values), bool)
    size = values.abs().to_numpy()
    return integers & (size >= LEAST_DIGITS) & (size > LOST_POINT * decimals.max())


def shapes(values: pd.DataFrame) -> list[tuple]:
    """Volumes that do not fit the mesh's voxels or the largest diameter of the same region."""
    rows = []
    for name in [name for name in values if name.endswith("_shape_MeshVolume")]:
        mesh = values[name]
        if is_standardised(mesh):
            continue
        voxels = values.get(name.removesuffix("MeshVolume") + "VoxelVolume")
        if voxels is not None:
            ratio = (mesh / voxels.where(voxels > 0)).where(voxels > VOXELS_JUDGED)
            odd = ratio[(ratio < MESH_OF_VOXELS[0]) | (ratio > MESH_OF_VOXELS[1])]
            if len(odd):
                detail = f"{odd.iloc[0]:.3g} times the volume of its voxels"
                rows.append(row("mesh and voxel volume disagree", name, odd.index, detail))
        diameter = values.get(name.removesuffix("MeshVolume") + "Maximum3DDiameter")
        if diameter is not None:
            share = mesh / (SPHERE * diameter.where(diameter > 0) ** 3)
            odd = share[(share > 1.05) | (share < PACKED)].dropna()
            if len(odd):
                detail = f"{odd.iloc[0]:.2g} of the sphere around the largest diameter: mm3 against ml, mm against cm?"
                rows.append(row("volume and diameter disagree", name, odd.index, detail))
    return rows


def other_settings(diagnostics: pd.DataFrame, centres: pd.Series) -> list[tuple]:
    """Columns of the extraction's own account that differ between patients: the values are not comparable."""
    stated = diagnostics.set_index("patient_id")
    stated = stated[stated.index.isin(centres.index)]
    rows = []
    for name in stated:
        cells = stated[name].dropna().astype(str).map(in_short)
        counts = cells.value_counts().sort_index(kind="stable").sort_values(ascending=False, kind="stable")
        if len(counts) < 2 or ("Spacing" in name and counts.iloc[0] < len(cells) / 2):
            continue  # a spacing of its own for every patient: nothing was resampled
        unusual = cells[cells != counts.index[0]]
        where = sorted({str(centres[patient]) for patient in unusual.index} - {""})
        detail = different_keys(counts.index[0], counts.index[1])
        if where:
            detail += f"; centres {', '.join(where)}"
        rows.append(row("extracted with other settings", name, unusual.index, detail))
    return rows


def in_short(cell: str) -> str:
    """A cell of numbers, such as a spacing, to the third decimal; others as they are."""
    try:
        return str(tuple(round(float(number), 3) for number in ast.literal_eval(cell)))
    except (ValueError, SyntaxError, TypeError):
        return cell


def different_keys(first_text: str, second_text: str) -> str:
    """`binWidth 25 / 10` of two settings that pyradiomics wrote; the cells themselves where they are none."""
    try:
        first, second = ast.literal_eval(first_text), ast.literal_eval(second_text)
    except (ValueError, SyntaxError):
        return f"{first_text[:40]} / {second_text[:40]}"
    if not isinstance(first, dict) or not isinstance(second, dict):
        return f"{first_text[:40]} / {second_text[:40]}"
    keys = sorted(key for key in {*first, *second} if first.get(key) != second.get(key))
    return ", ".join(f"{key} {first.get(key)} / {second.get(key)}" for key in keys[:NAMED])


def shifted_centres(values: pd.DataFrame, centre: pd.Series) -> list[tuple]:
    """Columns in which a centre is (nearly) apart from all others, or has sizes a thousand times theirs."""
    rows = []
    sizes = centre[centre != ""].value_counts()
    names = sorted(sizes.index, key=lambda name: (sizes[name], name))
    if len(names) == 2:
        names = names[:1]  # the other is as far from it
    for name in sorted(names):
        here, elsewhere = values[centre == name], values[(centre != name) & (centre != "")]
        if min(len(here), len(elsewhere)) < CENTRE_PATIENTS:
            continue
        area = pd.Series([auc(here[column], elsewhere[column]) for column in values], index=values.columns)
        apart = (area - 0.5).abs() >= APART - 0.5
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = here.median() / elsewhere.median()
        sized = pd.Series([bool(SIZE.search(column)) for column in values], index=values.columns)
        low, high = ANOTHER_UNIT
        unit = sized & (ratio.between(low, high) | (1 / ratio).between(low, high))
        for column in values.columns[(apart | unit).to_numpy()]:
            detail = f"median {here[column].median():.4g} in {name}, {elsewhere[column].median():.4g} elsewhere"
            what = "a centre in another unit" if unit[column] else "a centre beyond all others"
            rows.append(row(what, column, here.index, detail))
    return rows


def auc(first: pd.Series, second: pd.Series) -> float:
    """Share of pairs in which the first is larger (Mann-Whitney), missing cells aside; 0.5 of too few."""
    first, second = first.dropna(), second.dropna()
    if min(len(first), len(second)) < CENTRE_PATIENTS:
        return 0.5
    ranks = rankdata(np.concatenate([first, second]))
    return float((ranks[: len(first)].sum() - len(first) * (len(first) + 1) / 2) / (len(first) * len(second)))


def in_words(table: pd.DataFrame) -> list[str]:
    """A line a problem: how many columns and patients, the first column with its detail."""
    lines = []
    for problem, part in table.groupby("problem", sort=False):
        first = part.iloc[0]
        columns = "1 column" if len(part) == 1 else f"{len(part)} columns"
        most = int(part["patients"].max())
        patients = "1 patient" if most == 1 else f"{most} patients"
        if most > 1 and len(part) > 1:
            patients = f"up to {patients}"
        remedy = f"; {REMEDIES[problem]}" if problem in REMEDIES else ""
        shown = f"{first['first']}; {first['column']}: {first['detail']}"
        lines.append(f"{problem}: {columns}, {patients} ({shown}){remedy}")
    return lines
