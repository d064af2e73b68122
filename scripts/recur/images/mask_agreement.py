"""Agreement of two masks: overlap and distances between their surfaces (SimpleITK)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from recur.cli import progress
from recur.images.case_file import TUMOUR, Case, load_case

COLUMNS = ["patient_id", "phase", "lesion", "reader_a", "reader_b", "dice", "jaccard", "hausdorff_mm", "hd95_mm"]
COLUMNS += ["mean_distance_mm", "volume_a_ml", "volume_b_ml", "reason"]


def mask_agreement(a: sitk.Image, b: sitk.Image) -> dict:
    """Overlap and surface distances (mm) of two masks (non-zero is inside) on one grid.

    dict(dice, jaccard, volume_a_ml, volume_b_ml, hausdorff_mm, hd95_mm, mean_distance_mm). Distances are between
    voxels of the two surfaces: the largest, the larger 95th percentile of the two directions, and the mean of both.
    Distances are NaN when a mask is empty. Raises ValueError for masks on different grids.
    """
    a, b = (sitk.Cast(mask != 0, sitk.sitkUInt8) for mask in (a, b))
    if a.GetSize() != b.GetSize() or not np.allclose(a.GetSpacing(), b.GetSpacing(), rtol=1e-6):
        raise ValueError("the two masks are not on one grid")
    b.CopyInformation(a)
    inside = [sitk.GetArrayViewFromImage(mask).astype(bool) for mask in (a, b)]
    voxel_ml = float(np.prod(a.GetSpacing())) / 1000
    nothing = dict.fromkeys(("dice", "jaccard", "hausdorff_mm", "hd95_mm", "mean_distance_mm"), np.nan)
    result = nothing | {"volume_a_ml": inside[0].sum() * voxel_ml, "volume_b_ml": inside[1].sum() * voxel_ml}
    if not inside[0].any() or not inside[1].any():
        return result | ({"dice": 0.0, "jaccard": 0.0} if inside[0].any() or inside[1].any() else {})
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(a, b)
    # a margin of background, so that a surface on the border of the crop is a surface
    a, b = (sitk.ConstantPad(mask, [1] * mask.GetDimension(), [1] * mask.GetDimension(), 0) for mask in (a, b))
    surfaces = [sitk.GetArrayFromImage(sitk.LabelContour(mask, True)).astype(bool) for mask in (a, b)]
    distance = []
    for surface, other in ((surfaces[0], b), (surfaces[1], a)):
        to = sitk.SignedMaurerDistanceMap(
            sitk.LabelContour(other, True), squaredDistance=False, useImageSpacing=True, insideIsPositive=False
        )
        distance.append(np.abs(sitk.GetArrayViewFromImage(to)[surface]).astype(float))
    return result | {
        "dice": float(overlap.GetDiceCoefficient()),
        "jaccard": float(overlap.GetJaccardCoefficient()),
        "hausdorff_mm": max(float(d.max()) for d in distance),
        "hd95_mm": max(float(np.quantile(d, 0.95)) for d in distance),
        "mean_distance_mm": float(np.concatenate(distance).mean()),
    }


def tumours_on_one_grid(first: Case, second: Case) -> tuple[sitk.Image, sitk.Image] | None:
    """The tumours of two readers' crops of one image in a box that holds both, or None for different lattices."""
    if first.full_size.tolist() != second.full_size.tolist() or not np.allclose(
        first.spacing, second.spacing, rtol=1e-6
    ):
        return None
    starts = [np.asarray(case.offset)[::-1] for case in (first, second)]
    low = np.minimum(*starts)
    high = np.maximum(*(start + case.labels.shape for start, case in zip(starts, (first, second), strict=True)))
    images = []
    for start, case in zip(starts, (first, second), strict=True):
        joined = np.zeros(high - low, np.uint8)
        at = tuple(slice(s, s + n) for s, n in zip(start - low, case.labels.shape, strict=True))
        joined[at] = (case.labels & TUMOUR) > 0
        image = sitk.GetImageFromArray(joined)
        image.SetSpacing([float(x) for x in case.spacing])
        images.append(image)
    return images[0], images[1]


def readers_masks(cases: pd.DataFrame, cache: Path) -> pd.DataFrame:
    """Agreement of every two readers' tumour masks: patient_id, phase, lesion, reader_a, reader_b, mask_agreement's.

    cases: rows of images/batch-*.csv; only those that were made count. `reason` says why a pair has no values.
    """
    made = cases[cases["status"] == "ok"]
    pairs = []
    tumours = list(made.groupby(["patient_id", "phase", "lesion"], sort=True))
    for (patient, phase, lesion), rows in progress(tumours, len(tumours), "agreement of masks", "tumours"):
        readings = list(rows.sort_values("reader").itertuples())
        for a, b in ((a, b) for i, a in enumerate(readings) for b in readings[i + 1 :]):
            pair = tumours_on_one_grid(load_case(cache / a.case), load_case(cache / b.case))
            row = {"patient_id": patient, "phase": phase, "lesion": lesion, "reader_a": a.reader, "reader_b": b.reader}
            values = {"reason": "the readers' images are not on one grid"} if pair is None else mask_agreement(*pair)
            pairs.append(row | values)
    return pd.DataFrame(pairs, columns=COLUMNS)


def mask_summary(masks: pd.DataFrame) -> pd.DataFrame:
    """Median and quartiles: phase, reader_a, reader_b, measure, n, median, lower_quartile, upper_quartile."""
    found = []
    for (phase, a, b), part in masks.groupby(["phase", "reader_a", "reader_b"], sort=True):
        for measure in ("dice", "jaccard", "hausdorff_mm", "hd95_mm", "mean_distance_mm"):
            values = part[measure].dropna().astype(float)
            row = {"phase": phase, "reader_a": a, "reader_b": b, "measure": measure, "n": len(values)}
            quartiles = zip(("lower_quartile", "median", "upper_quartile"), (0.25, 0.5, 0.75), strict=True)
            found.append(row | {name: values.quantile(q) for name, q in quartiles})
    return pd.DataFrame(
        found, columns=["phase", "reader_a", "reader_b", "measure", "n", "median", "lower_quartile", "upper_quartile"]
    )
