"""The five texture matrices of pyradiomics, same calls and same arrays as its C functions, from two compiled passes.

Calls that the passes do not cover (2-D, other distances, regions one voxel thick) go to the C function itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from radiomics import cMatrices

from recur.features import kernels

C = {name: getattr(cMatrices, f"calculate_{name}") for name in ("glcm", "glrlm", "glszm", "gldm", "ngtdm")}


def matrix_functions() -> dict[str, Callable]:
    """Stand-ins for radiomics.cMatrices.calculate_*, by their names there.

    GLCM, GLRLM, GLDM and NGTDM of one discretised image share one pass: pyradiomics asks for them one after the other
    with the same array, so the last array's counts are kept.
    """
    last: dict[str, np.ndarray] = {}

    def counts(levels: np.ndarray, mask: np.ndarray, ng: int) -> dict[str, np.ndarray]:
        if last.get("levels") is not levels:
            last.clear()
            last.update(_count(levels, mask, ng), levels=levels)
        return last

    def glcm(levels, mask, distances, ng, force2d, dimension):
        if not _covered(levels, force2d, distances):
            return C["glcm"](levels, mask, distances, ng, force2d, dimension)
        found = counts(levels, mask, ng)
        return found["glcm"].copy(), found["angles"]

    def glrlm(levels, mask, ng, nr, force2d, dimension):
        found = counts(levels, mask, ng) if _covered(levels, force2d) else None
        # an angle without a run of two or more has a rule of its own in the C function
        if found is None or not (found["glrlm"][:, :, 1:].sum((0, 1, 2)) > 0).all():
            return C["glrlm"](levels, mask, ng, nr, force2d, dimension)
        return found["glrlm"].copy(), found["angles"]

    def gldm(levels, mask, distances, ng, alpha, force2d, dimension):
        if alpha != 0 or not _covered(levels, force2d, distances):
            return C["gldm"](levels, mask, distances, ng, alpha, force2d, dimension)
        return counts(levels, mask, ng)["gldm"].copy()

    def ngtdm(levels, mask, distances, ng, force2d, dimension):
        if not _covered(levels, force2d, distances):
            return C["ngtdm"](levels, mask, distances, ng, force2d, dimension)
        return counts(levels, mask, ng)["ngtdm"].copy()

    def glszm(levels, mask, ng, ns, force2d, dimension):
        if not _covered(levels, force2d):
            return C["glszm"](levels, mask, ng, ns, force2d, dimension)
        found = counts(levels, mask, ng)
        flat = found["flat"]
        size = np.zeros(flat.size, np.int32)
        largest = kernels.zone_sizes(flat, found["offsets"], np.zeros(flat.size, np.int32), size)
        matrix = np.zeros((1, ng, largest))
        kernels.count_zones(flat, size, matrix[0])
        return matrix

    return {f"calculate_{f.__name__}": f for f in (glcm, glrlm, gldm, ngtdm, glszm)}


def _covered(levels: np.ndarray, force2d: bool, distances=(1,)) -> bool:
    return not force2d and list(distances) == [1] and levels.ndim == 3 and min(levels.shape) > 1


def _count(levels: np.ndarray, mask: np.ndarray, ng: int) -> dict[str, np.ndarray]:
    padded = np.zeros([n + 2 for n in levels.shape], np.int32)
    padded[1:-1, 1:-1, 1:-1][mask] = levels[mask]
    angles = cMatrices.generate_angles(np.array(levels.shape), np.array([1]), False, False, 0)
    offsets = angles.astype(np.int64) @ (np.array(padded.strides) // padded.itemsize)
    flat = padded.ravel()
    na, longest = len(offsets), max(levels.shape)
    glcm = np.zeros((ng, ng + 1, na), np.int32)
    glrlm = np.zeros((ng, longest, na, 2), np.int32)
    gldm = np.zeros((ng, 2 * na + 1), np.int32)
    difference, count = np.zeros(ng), np.zeros(ng, np.int64)
    run = np.zeros((flat.size, na), np.int16)
    kernels.count_neighbours(flat, np.flatnonzero(flat), offsets, glcm, glrlm, gldm, difference, count, run)
    return {
        "flat": flat,
        "offsets": offsets,
        "angles": angles,
        "glcm": glcm[None, :, 1:].astype(float),
        "glrlm": glrlm[None, ..., 0].astype(float),
        "gldm": gldm[None].astype(float),
        "ngtdm": np.stack([count, difference, np.arange(1, ng + 1)], 1)[None].astype(float),
    }
