"""The one place where pyradiomics is changed: replacements of its inner work, in force inside `accelerated()` only.

Its feature classes and definitions stay in charge; each replacement returns what the replaced function returns, to
rounding (tests/test_features.py holds every feature to the unmodified extractor within 1e-9).
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator

import numpy as np
from radiomics import base, cMatrices, cShape, firstorder, glcm, glrlm

from recur.features.bins import bin_edges
from recur.features.shape import mesh_coefficients
from recur.features.texture import matrix_functions

# Names are looked up by pyradiomics for each image and class, by inspecting the class every time.
_NAMES: dict[type, dict[str, bool]] = {}
_get_feature_names = base.RadiomicsFeaturesBase.getFeatureNames.__func__


@contextlib.contextmanager
def accelerated() -> Iterator[None]:
    """Run pyradiomics with the replacements below; only for regions of more than one intensity (see extract.py)."""
    features, first, co = base.RadiomicsFeaturesBase, firstorder.RadiomicsFirstOrder, glcm.RadiomicsGLCM
    apply_binning, first_counts = _shared_binning()
    replacements = [
        (features, "getFeatureNames", classmethod(_feature_names)),  # inspected once per class, not once per image
        (features, "_applyBinning", apply_binning),  # discretised once per image for six classes, numpy min and max
        (first, "_initCalculation", first_counts),  # histogram counts come from that same discretisation
        (firstorder, "numpy", _first_order_numpy()),  # the voxels hold no NaN: no NaN handling, percentiles in one pass
        (glcm, "numpy", _numpy(nanmean=_nanmean)),  # nanmean of 13 angles: its NaN handling only where there is a NaN
        (glrlm, "numpy", _numpy(nanmean=_nanmean)),  # as for glcm
        (co, "_calculateCoefficients", _glcm_coefficients),  # sums over i + j and abs(i - j) in one pass each
        (co, "getMCCFeatureValue", _glcm_mcc),  # Q as a matrix product
        (cShape, "calculate_coefficients", mesh_coefficients),  # not all pairs of vertices
        *((cMatrices, name, f) for name, f in matrix_functions().items()),  # one compiled pass for four matrices
    ]
    saved = [(owner, name, vars(owner)[name]) for owner, name, _ in replacements]
    try:
        for owner, name, value in replacements:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in saved:
            setattr(owner, name, value)


def _feature_names(cls) -> dict[str, bool]:
    if cls not in _NAMES:
        _NAMES[cls] = _get_feature_names(cls)
    return dict(_NAMES[cls])


def _shared_binning():
    """Replacements of _applyBinning and of first order's _initCalculation that keep the last image's result."""
    last: dict = {}

    def apply_binning(self, matrix):
        if last.get("image") is not self.inputImage or last.get("mask") is not self.inputMask:
            inside = self.imageArray[self.maskArray]
            level = np.digitize(inside, bin_edges(inside, self.settings))
            levels = np.zeros(matrix.shape, np.int32)
            levels[self.maskArray] = level
            counts = np.bincount(level)
            present = np.flatnonzero(counts)
            last.update(
                image=self.inputImage, mask=self.inputMask, levels=levels, present=present, counts=counts[present]
            )
        self.coefficients["grayLevels"] = last["present"]
        self.coefficients["Ng"] = int(last["present"][-1])
        return last["levels"]

    def first_counts(self, voxelCoordinates=None):
        self.targetVoxelArray = self.imageArray[self.maskArray].astype("float").reshape((1, -1))
        self.coefficients["p_i"] = last["counts"].reshape((1, -1)) / float(last["counts"].sum())

    return apply_binning, first_counts


def _numpy(**changed) -> types.SimpleNamespace:
    """numpy with some functions changed, to stand for a pyradiomics module's `numpy`."""
    return types.SimpleNamespace(**{**vars(np), **changed})


def _nanmean(a, axis, keepdims=False):
    return (np.nanmean if np.isnan(a).any() else np.mean)(a, axis, keepdims=keepdims)


def _first_order_numpy() -> types.SimpleNamespace:
    asked: dict = {}

    def nanpercentile(a, q, axis=None):
        if asked.get("array") is not a:
            quantiles = (10, 25, 50, 75, 90)
            asked.update(array=a, values=dict(zip(quantiles, np.percentile(a, quantiles, axis=1), strict=True)))
        return asked["values"][q]

    def power(a, n):
        return {2: lambda: a * a, 3: lambda: a * a * a, 4: lambda: (a * a) * (a * a)}[n]()

    return _numpy(
        nanpercentile=nanpercentile,
        nanmedian=lambda a, axis: nanpercentile(a, 50, axis),
        nanmean=_nanmean,  # robust mean absolute deviation marks voxels by NaN
        nansum=np.sum,
        nanmin=np.min,
        nanmax=np.max,
        nanstd=np.std,
        power=power,
    )


def _glcm_coefficients(self) -> None:
    p = self.P_glcm  # (1, level, level, angle)
    ng, angles = self.coefficients["Ng"], p.shape[3]
    levels = self.coefficients["grayLevels"]
    eps = np.spacing(1)
    i, j = np.meshgrid(levels.astype(float), levels.astype(float), indexing="ij", sparse=True)

    def summed_by(k: np.ndarray, n: int) -> np.ndarray:
        """(1, n, angle): p summed over the cells (i, j) with k == 0 .. n - 1."""
        cell = (k.reshape(-1, 1) * angles + np.arange(angles)).ravel()
        return np.bincount(cell, weights=p.reshape(-1), minlength=n * angles).reshape(1, n, angles)

    self.coefficients.update(
        eps=eps,
        i=i,
        j=j,
        kValuesSum=np.arange(2, ng * 2 + 1, dtype="float"),
        kValuesDiff=np.arange(0, ng, dtype="float"),
        px=p.sum(2, keepdims=True),
        py=p.sum(1, keepdims=True),
        ux=np.sum(i[None, :, :, None] * p, (1, 2), keepdims=True),
        uy=np.sum(j[None, :, :, None] * p, (1, 2), keepdims=True),
        pxAddy=summed_by(levels[:, None] + levels[None, :] - 2, 2 * ng - 1),
        pxSuby=summed_by(np.abs(levels[:, None] - levels[None, :]), ng),
        HXY=-np.sum(p * np.log2(p + eps), (1, 2)),
    )


def _glcm_mcc(self) -> float:
    p = self.P_glcm[0].transpose(2, 0, 1)  # angle, i, j
    px = self.coefficients["px"][0, :, 0, :].T
    py = self.coefficients["py"][0, 0, :, :].T
    if p.shape[1] < 2:  # flat region, as pyradiomics
        return 1
    q = (p / (px[:, :, None] * py[:, None, :] + self.coefficients["eps"])) @ p.transpose(0, 2, 1)
    eigenvalues = np.linalg.eigvals(q)
    eigenvalues.sort()
    return np.nanmean(np.sqrt(eigenvalues[:, -2])).real
