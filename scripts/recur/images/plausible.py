"""What an image or a mask cannot be, or hardly is: grey values that are no HU, sizes, borders, pieces."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from recur.images.flags import flag
from recur.images.regions import SPECK_ML, bounding_box, widen
from recur.tables import StudyError

LEAST_HU_RANGE = 30.0  # of a whole CT, in HU: z-scores, 0 to 1 and HU / 1000 stay below
BYTE, BRIGHT = (0, 255), 200  # a windowed picture reaches both ends
LEAST_HU, METAL_HU = -5000.0, 10000.0  # nothing but padding and a few voxels of metal lies beyond
NO_AIR = -200.0  # the least value of a window on soft tissue, or of a crop without air
BELOW_AIR = -1250.0  # air is -1000, with noise and the overshoot of sharp kernels
SHARE_BEYOND = 0.01  # of the voxels
LARGEST_MM = 400.0  # across a tumour; a liver is about 250 mm wide
LARGEST_VOXEL_MM = 20.0
TINY_ML = 0.05
ONE_SLICE = 0.9  # share of the tumour
OUTSIDE_ORGAN = 0.1  # share of the tumour beyond its organ's mask
MANY_PIECES = 5
INVERTED = 0.5  # share of the image's border that the mask covers


def hu_problem(voxels: np.ndarray) -> str | None:
    """Why the grey values (z, y, x) of a CT are not Hounsfield units; None where they may be."""
    low, high = float(voxels.min()), float(voxels.max())
    if 0 < high - low < LEAST_HU_RANGE:
        return f"values from {low:g} to {high:g} are no HU (z-scores, 0 to 1, or HU / 1000?)"
    if low < high < LEAST_HU_RANGE and high - float(np.min(voxels, where=voxels > low, initial=high)) < LEAST_HU_RANGE:
        return f"values up to {high:g} beside a fill of {low:g} are no HU (z-scores, 0 to 1, or HU / 1000?)"
    if low == BYTE[0] and BRIGHT < high <= BYTE[1] and (voxels == np.floor(voxels)).all():
        return f"whole values from {low:g} to {high:g} are no HU (a picture of 8 bits, windowed?)"
    if low < LEAST_HU or high > METAL_HU:
        beyond = float(((voxels < LEAST_HU) & (voxels > low) | (voxels > METAL_HU)).mean())
        if beyond > SHARE_BEYOND:
            return (
                f"{100 * beyond:.0f} % of its values ({low:g} to {high:g}) are no HU (byte order, signed values read "
                "as unsigned, or the rescale slope?)"
            )
    return None


def hu_remark(voxels: np.ndarray) -> str | None:
    """What is odd about the grey values (z, y, x) of a CT, although they may be Hounsfield units."""
    low = float(voxels.min())
    if low >= 0:
        return f"no value below 0 HU (lowest {low:g}): is the rescale intercept applied?"
    if low > NO_AIR:
        share = float((voxels == low).mean())
        return (
            f"{100 * share:.0f} % of its values are {low:g} HU, the least: cut off?" if share > SHARE_BEYOND else None
        )
    if low < BELOW_AIR:
        # one value of many voxels, below all others, is what scanners and converters fill with (-2000, -3024)
        share = float(((voxels < BELOW_AIR) & (voxels > low)).mean())
        if share > SHARE_BEYOND:
            return (
                f"{100 * share:.0f} % of its values lie below air ({low:g} to {BELOW_AIR:g} HU): is it rescaled right?"
            )
    return None


def check_extent(mask: np.ndarray, what: str) -> None:
    """Refuse a mask (z, y, x; bool) of one slice or one line: most of its features would be rounding noise."""
    extent = [int(side.stop - side.start) for side in bounding_box(mask)]
    if min(extent) > 1:
        return
    flat = sum(side == 1 for side in extent)
    shape = {1: "one slice", 2: "one line", 3: "one voxel"}[flat]
    raise StudyError(
        f"{what}: it is {shape} thick ({'x'.join(map(str, extent[::-1]))} voxels), and features are three-dimensional; "
        "draw it on all slices"
    )


def mask_flags(
    tumour: np.ndarray, spacing: tuple[float, float, float], masks: Mapping[str, np.ndarray], diameter_mm: float
) -> tuple[list[str], dict[str, int]]:
    """Remarks on a tumour mask (z, y, x; bool) that is hardly one: its size, its pieces, the image's edge, its organ.

    spacing: x, y, z (mm); masks: the row's masks by their column; diameter_mm: the largest of the tumour. With them the
    columns pieces (that do not touch, specks too) and edge_voxels (on the image's faces; one on an edge counts twice).
    """
    flags = []
    voxel_ml = float(np.prod(spacing)) / 1000
    ml = float(tumour.sum()) * voxel_ml
    if max(spacing) > LARGEST_VOXEL_MM:
        flags.append(flag("size", f"voxels of {max(spacing):g} mm: is the voxel size right?"))
    if ml < TINY_ML:
        flags.append(flag("size", f"tumour of {ml:.2g} ml: is the voxel size right?"))
    if diameter_mm > LARGEST_MM:
        text = f"tumour of {diameter_mm:.0f} mm: is the voxel size right, and the mask the tumour's?"
        flags.append(flag("size", text))
    counts = [tumour.sum(axis=tuple({0, 1, 2} - {axis})) for axis in range(3)]
    share = max(float(count.max()) for count in counts) / float(tumour.sum())
    if share > ONE_SLICE:
        flags.append(flag("size", f"{100 * share:.0f} % of the tumour lies in one slice"))
    faces = [tumour[0], tumour[-1], tumour[:, 0], tumour[:, -1], tumour[:, :, 0], tumour[:, :, -1]]
    covered, border = sum(int(face.sum()) for face in faces), sum(face.size for face in faces)
    if covered > INVERTED * border:
        flags.append(flag("inverted", "tumour mask covers most of the image's border: is it inverted?"))
    elif covered:
        flags.append(flag("edge", f"tumour touches the image's edge ({covered} voxels)"))
    specks, pieces, separate = _pieces(tumour, voxel_ml)
    if pieces > MANY_PIECES:
        flags.append(flag("pieces", f"tumour of {pieces} pieces"))
    if specks:
        flags.append(flag("pieces", f"{specks} specks below {SPECK_ML:g} ml in the tumour mask"))
    liver = masks.get("liver_mask")
    if liver is not None:
        outside = float((tumour & ~liver).sum() / tumour.sum())
        # masks of the liver often leave the tumour out; then it lies in a hole of theirs
        if outside > OUTSIDE_ORGAN:
            beyond = float((tumour & ~_filled(liver, tumour)).sum() / tumour.sum())
            if beyond > OUTSIDE_ORGAN:
                flags.append(flag("outside", f"{100 * beyond:.0f} % of the tumour lies outside the liver mask"))
    return flags, {"pieces": separate, "edge_voxels": covered}


def _pieces(tumour: np.ndarray, voxel_ml: float) -> tuple[int, int, int]:
    """How many pieces below SPECK_ML a mask has beside larger ones, how many those are, and all pieces together."""
    labels, _ = ndimage.label(tumour[bounding_box(tumour)], np.ones((3, 3, 3)))
    large = int((np.bincount(labels.ravel())[1:] * voxel_ml >= SPECK_ML).sum())
    separate = int(labels.max())
    return (separate - large if large else 0), large, separate


def _filled(liver: np.ndarray, tumour: np.ndarray) -> np.ndarray:
    """The liver mask with its holes, and bays that the tumour closes, filled slice by slice."""
    box = widen(bounding_box(tumour), [1, 1, 1], tumour.shape)
    filled = liver.copy()
    for k in range(box[0].start, box[0].stop):
        filled[k] = ndimage.binary_fill_holes(liver[k])
    near = ndimage.binary_dilation(tumour[box]) & ~tumour[box]
    share = float(filled[box][near].mean()) if near.any() else 0.0
    return filled | tumour if share > 0.5 else filled
