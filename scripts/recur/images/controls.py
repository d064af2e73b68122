"""Negative controls: the same regions with the image destroyed inside or outside them.

What is left when the arrangement of the voxels is gone cannot have come from it (Welch et al., Radiother Oncol
2019;130:2). results/README.md says what each control can and cannot remove.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

CONTROLS = ("shuffled_inside", "resampled_inside", "shuffled_outside", "resampled_outside")
CLIP = 128  # where a rim may lie, as in case.py
FEWEST = 1000  # voxels around the regions that stand for them


def controlled(
    image: np.ndarray, labels: np.ndarray, regions: Mapping[str, int], control: str, rng: np.random.Generator
) -> np.ndarray:
    """The image (z, y, x; float32) after a control; `labels` and `regions` (name -> bit) of the case.

    shuffled_inside: the voxels of each region change places; resampled_inside: they are drawn with replacement from
    that region; shuffled_outside: all voxels of the crop that are in no region change places; resampled_outside: the
    regions are filled with voxels drawn from outside them, where a rim may lie (the liver) if there are enough. Where
    regions overlap, each part shared by the same regions is treated by itself, so that every region keeps its values.
    """
    bits = labels & np.uint8(sum(bit for name, bit in regions.items() if name != "liver"))
    result = image.copy()
    if control == "resampled_outside":
        around = (bits == 0) & ((labels & CLIP) > 0)
        pool = image[around if around.sum() >= FEWEST else bits == 0]
        result[bits > 0] = rng.choice(pool, int((bits > 0).sum()))
        return result
    cells = [0] if control == "shuffled_outside" else [int(cell) for cell in np.unique(bits) if cell]
    for cell in cells:
        here = bits == cell
        values = image[here]
        result[here] = rng.choice(values, len(values)) if control == "resampled_inside" else rng.permutation(values)
    return result
