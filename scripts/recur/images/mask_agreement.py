"""Agreement of two masks: overlap and distances between their surfaces (SimpleITK)."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk


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
