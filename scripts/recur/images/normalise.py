"""Grey values of a scan on a common scale: bias field correction and normalisation, from this one scan alone."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from recur.tables import StudyError

SCALE = (
    100.0  # one SD is 100 units, as pyradiomics' normalizeScale in its MR examples: bin widths stay in whole numbers
)
SHRINK = 4  # N4 fits its smooth field on every fourth voxel; the field itself is evaluated at every voxel
FEWEST = 100  # voxels that a mean and an SD may rest on


def without_bias(voxels: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """The image (z, y, x; float32) divided by its bias field: N4 of SimpleITK in the body, its own defaults.

    Tustison et al., IEEE Trans Med Imaging 2010;29:1310. Raises StudyError where the body has values at or
    below 0, of which there is no logarithm.
    """
    inside = in_body(voxels)
    if not voxels[inside].min(initial=np.inf) > 0:
        raise StudyError("N4: the body has values at or below 0; it is for MR magnitudes only")
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing([float(step) for step in spacing])
    shrink = [max(1, min(SHRINK, n // 4)) for n in image.GetSize()]
    body = sitk.GetImageFromArray(inside.astype(np.uint8))
    body.CopyInformation(image)
    correct = sitk.N4BiasFieldCorrectionImageFilter()
    correct.SetNumberOfThreads(1)  # sums keep one order
    correct.Execute(sitk.Shrink(image, shrink), sitk.Shrink(body, shrink))
    field = sitk.GetArrayFromImage(correct.GetLogBiasFieldAsImage(image))
    return (voxels / np.exp(field)).astype(np.float32)


def normalised(voxels: np.ndarray, how: str, liver: np.ndarray | None) -> tuple[np.ndarray, dict[str, float]]:
    """The image as (value - mean) / SD x 100, float32, and that mean and SD.

    zscore: mean and SD of the body (in_body: the width of the air around it must not count);
    liver: of the given voxels (z, y, x; bool), the liver without lesions and vessels. Raises StudyError without them.
    """
    if how == "none":
        return voxels, {}
    if how == "liver" and (liver is None or liver.sum() < FEWEST):
        raise StudyError("normalise: liver needs a liver mask with at least 100 voxels outside lesions and vessels")
    sample = voxels[liver if how == "liver" else in_body(voxels)].astype(np.float64)
    mean, sd = float(sample.mean()), float(sample.std())
    if not sd > 0:
        raise StudyError(f"normalise: {how}: all values are {mean:g}; check the image")
    return ((voxels - mean) * (SCALE / sd)).astype(np.float32), {"normalise_mean": mean, "normalise_sd": sd}


def in_body(voxels: np.ndarray) -> np.ndarray:
    """Tissue and not air, bool (z, y, x): above Otsu's threshold of the logarithm.

    Without the logarithm the threshold parts bright fat from all the rest, the liver among it.
    """
    logarithm = np.log1p(np.maximum(voxels, 0))
    return sitk.GetArrayFromImage(sitk.OtsuThreshold(sitk.GetImageFromArray(logarithm), 0, 1)) > 0
