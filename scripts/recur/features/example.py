"""One training patient for the figure of what was measured: a slice, the regions on it, a map of a feature."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk

from recur.features.names import measure_of, measure_parts
from recur.features.plain import extractor
from recur.images.case_file import BITS, Case, placed
from recur.images.montage import MARGIN_MM, Reading, slice_of, view_of

PIXELS = ["phase", "row", "column", "intensity", "tumour", "rim", "liver", "other_reader", "map"]
VIEWS = ["phase", "row_mm", "column_mm", "low", "high", "slice", "slices", "feature"]
KERNEL_RADIUS = 2  # resampled voxels around each voxel of the map
NO_FEATURE = "original_firstorder_Entropy"  # what is mapped where the signature has none that can be


def chosen_patient(cases: pd.DataFrame, train: set[str], phases: list[str]) -> str | None:
    """The training patient with every phase, and a second reading where any has one, of the most typical tumour.

    Typical: its volume in the first phase is nearest to the median; the choice looks at nothing else. None where no
    patient has all phases.
    """
    usable = cases[(cases["status"] == "ok") & cases["patient_id"].isin(train)]
    first = usable[usable["reader"] == usable["reader"].iloc[0]] if len(usable) else usable
    complete = first.groupby("patient_id")["phase"].nunique() == len(phases)
    ids = set(complete.index[complete])
    again = ids & set(usable.loc[usable["reader"] != usable["reader"].iloc[0], "patient_id"]) if len(usable) else ids
    volumes = first[(first["phase"] == phases[0]) & first["patient_id"].isin(ids)].drop_duplicates("patient_id")
    volumes = volumes.set_index("patient_id")["tumour_ml"].astype(float)
    distance = (volumes - volumes.median()).abs()[sorted(again or ids)]
    return str(distance.idxmin()) if len(distance) else None


def mapped_feature(weights: pd.DataFrame) -> str:
    """`original_<class>_<feature>` of the signature's heaviest feature of the unfiltered image that is not a shape."""
    order = weights["weight"].abs().sort_values(ascending=False, kind="stable").index
    parts = [measure_of(str(name)) for name in weights.loc[order, "feature"]]
    fitting = [name for name in parts if re.fullmatch(r"original_(?!shape)[a-z]+_\w+", name)]
    return fitting[0] if fitting else NO_FEATURE


def example_tables(
    readings: Mapping[str, list[Case]], feature: str, extraction: dict[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(pixels, views) of one patient. readings: phase -> cases, the first reader's first.

    pixels (PIXELS): the slice with most tumour, cropped around the regions, rows from the patient's front to the back,
    columns from his right to his left; regions are 0 or 1; `map` is the feature around each pixel, empty outside tumour
    and rim. views (VIEWS): one row a phase: size of a pixel (mm), grey scale, number of the slice, what is mapped.
    """
    pixels = [pd.DataFrame(columns=PIXELS)]
    views = []
    for phase, cases in readings.items():
        view = view_of([Reading(str(i), case, "") for i, case in enumerate(cases)])
        tumour = (view.labels[0] & np.uint8(BITS["tumour"])) > 0
        k = int(np.argmax(tumour.sum(axis=tuple(a for a in range(3) if a != view.slices))))
        first_labels = slice_of(view.labels[0], view.slices, k)
        further_labels = [slice_of(labels, view.slices, k) for labels in view.labels[1:] if labels is not None]
        other_reader = np.zeros(first_labels.shape, int)
        if further_labels:
            other_reader = ((further_labels[0] & np.uint8(BITS["tumour"])) > 0).astype(int)
        regions = (first_labels & np.uint8(BITS["tumour"] | BITS["rim"])) > 0
        spacing = np.delete(view.spacing, view.slices)
        box = tuple(
            slice(max(int(at.min() - margin), 0), int(at.max() + margin) + 1)
            for at, margin in zip(np.nonzero(regions), np.ceil(MARGIN_MM / spacing), strict=True)
        )
        mapped = view_of(
            [Reading("", cases[0]._replace(image=feature_map(cases[0], view, k, feature, extraction)), "")]
        )
        planes = {
            "intensity": np.round(slice_of(view.image, view.slices, k), 2),
            **{name: ((first_labels & np.uint8(bit)) > 0).astype(int) for name, bit in BITS.items()},
            "other_reader": other_reader,
            "map": slice_of(mapped.image, view.slices, k),
        }
        planes = {name: plane[box] for name, plane in planes.items()}
        rows, columns = np.indices(planes["intensity"].shape)
        table = {"phase": phase, "row": rows.ravel(), "column": columns.ravel()}
        pixels.append(pd.DataFrame(table | {name: plane.ravel() for name, plane in planes.items()})[PIXELS])
        number = view.first + (view.total - 1 - k if view.flipped else k)
        views.append((phase, *spacing, view.low, view.high, number + 1, view.total, feature))
    return pd.concat(pixels[1:] or pixels, ignore_index=True), pd.DataFrame(views, columns=VIEWS)


def feature_map(case: Case, view: Any, k: int, feature: str, extraction: dict[str, Any]) -> np.ndarray:
    """The feature around every voxel of tumour and rim near slice k of the view, on the case's lattice; NaN elsewhere.

    pyradiomics' voxel-based extraction with the study's settings and a cube of KERNEL_RADIUS voxels each way.
    """
    regions = (view.labels[0] & np.uint8(BITS["tumour"] | BITS["rim"])) > 0
    thickness = view.spacing[view.slices]
    reach = math.ceil((KERNEL_RADIUS + 0.5) * (max(extraction["spacing_mm"]) or thickness) / thickness)
    near = np.zeros_like(regions)
    part = [slice(None)] * 3
    part[view.slices] = slice(max(k - reach, 0), k + reach + 1)
    near[tuple(part)] = regions[tuple(part)]
    places = view_of(
        [Reading("", case._replace(image=np.arange(case.image.size, dtype=float).reshape(case.image.shape)), "")]
    )
    mask = np.zeros(case.image.shape, bool)
    mask.flat[places.image[near].astype(int)] = True
    _, kind, name = measure_parts(feature)
    plain = {"mode": "pyradiomics", "resegment": None, "image_types": ["Original"]}
    made = extractor(extraction | plain, resample=True)
    made.settings |= {"kernelRadius": KERNEL_RADIUS, "maskedKernel": True, "initValue": math.nan, "voxelBatch": 500}
    made.disableAllFeatures()
    made.enabledFeatures = {kind: [name]}
    origin = case.full_origin + case.direction.reshape(3, 3) @ (case.offset * case.spacing)
    grid = placed(case.image, case, origin)
    computed = made.execute(grid, placed(mask.astype(np.uint8), case, origin), voxelBased=True)
    if feature not in computed:
        return np.full(case.image.shape, np.nan, np.float32)
    computed = sitk.Resample(
        computed[feature], grid, sitk.Transform(), sitk.sitkNearestNeighbor, math.nan, sitk.sitkFloat32
    )
    values = sitk.GetArrayFromImage(computed)
    return np.where(mask, values, np.nan).astype(np.float32)
