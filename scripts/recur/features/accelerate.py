"""The one place where pyradiomics is changed: its feature classes, given what was counted in place of an image.

The classes and their formulas stay in charge of every feature. While `grid_features` runs, what they do before (read
arrays, discretise, count matrices: six times an image) is replaced by `texture.Counts`, made once; each replacement
gives what the replaced function gives, to rounding (tests/features/test_extract.py holds every feature to plain
pyradiomics within 1e-9).
"""

from __future__ import annotations

import contextlib
import hashlib
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk
from radiomics import base, cShape, firstorder, glcm, gldm, glrlm, glszm, ngtdm, shape

from recur.features.filters import filtered
from recur.features.shape import mesh_coefficients
from recur.features.texture import Counts, Voxels

CLASSES = {
    "firstorder": firstorder.RadiomicsFirstOrder,
    "glcm": glcm.RadiomicsGLCM,
    "glrlm": glrlm.RadiomicsGLRLM,
    "glszm": glszm.RadiomicsGLSZM,
    "gldm": gldm.RadiomicsGLDM,
    "ngtdm": ngtdm.RadiomicsNGTDM,
}
MASKS_KEPT = 8  # regions of a patient, whose phases share their shape
EXACT_MCC = 24  # gray levels up to which the general solver is the faster one

_names: dict[type, dict[str, bool]] = {}
_shapes: dict[str, dict[str, float]] = {}


class Filters(NamedTuple):
    """The images that are made of one, and how each is discretised."""

    image_types: list[str]
    sigmas: list[float]  # of LoG, mm
    bins: dict[str, Any]  # settings of bins.bin_edges
    original_bins: dict[str, Any] = {}  # more of them, for the unfiltered image


def grid_features(
    image: np.ndarray,
    region: np.ndarray,
    spacing: np.ndarray,
    filters: Filters,
    shape_region: np.ndarray | None = None,
) -> dict[str, float]:
    """All features `<image type>_<class>_<feature>` of one region on its grid.

    image: float32 or float64 (z, y, x), the region's padded box, finite. region: bool, same shape, two voxels or more
    in every axis. spacing: mm, (x, y, z). shape_region: the region for shape, where it is another one. Images that
    pyradiomics would not make (LoG of a small box) have no values.
    """
    part = tuple(
        slice(int(hit[0]), int(hit[-1]) + 1)
        for axis in range(3)
        for hit in [np.flatnonzero(region.any(axis=tuple(k for k in range(3) if k != axis)))]
    )
    tight = np.ascontiguousarray(region[part])
    with _replaced():
        features = dict(_shape_features(region if shape_region is None else shape_region, spacing))
        voxels = Voxels(tight)
        for name, values in filtered(image, part, spacing, filters.image_types, filters.sigmas):
            settings = filters.bins | filters.original_bins if name == "original" else filters.bins
            counts = voxels.count(values, settings)
            seen = _Seen(counts, spacing)
            for kind, feature_class in CLASSES.items():
                values_of_class = feature_class(seen, seen, **settings).execute()
                features.update(
                    {f"{name}_{kind}_{feature}": float(value) for feature, value in values_of_class.items()}
                )
    return features


def _shape_features(region: np.ndarray, spacing: np.ndarray) -> dict[str, float]:
    """pyradiomics' shape features; kept for the next phase of the same mask, which is usual."""
    where = np.argwhere(region)
    low, high = where.min(0), where.max(0) + 1
    tight = np.ascontiguousarray(region[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], np.uint8)
    key = hashlib.blake2b(np.packbits(tight).tobytes() + repr((tight.shape, list(spacing))).encode()).hexdigest()
    if key not in _shapes:
        mask = sitk.GetImageFromArray(tight)
        mask.SetSpacing(np.asarray(spacing, float).tolist())
        computed = shape.RadiomicsShape(mask, mask).execute()
        while len(_shapes) >= MASKS_KEPT:
            del _shapes[next(iter(_shapes))]
        _shapes[key] = {f"original_shape_{name}": float(value) for name, value in computed.items()}
    return _shapes[key]


class _Seen:
    """Stands for an image and its mask in the feature classes: its counts and spacing."""

    def __init__(self, counts: Counts, spacing: np.ndarray) -> None:
        self.counts = counts
        self.spacing = tuple(float(step) for step in spacing)

    def GetSpacing(self):
        return self.spacing

    def copy(self):
        return self

    def __eq__(self, label):
        return self

    __hash__ = None


@contextlib.contextmanager
def _replaced() -> Iterator[None]:
    features, first, co = base.RadiomicsFeaturesBase, firstorder.RadiomicsFirstOrder, glcm.RadiomicsGLCM
    replacements = [
        (base, "sitk", types.SimpleNamespace(GetArrayFromImage=_array)),
        (features, "getFeatureNames", classmethod(_feature_names)),  # inspected once per class, not once per image
        (features, "_applyBinning", _apply_binning),
        (first, "_initCalculation", _first_order_counts),
        (first, "_moment", staticmethod(_moment)),
        (first, "getEnergyFeatureValue", lambda self: np.array([self.imageArray.counts.sums[4]])),
        (first, "getRootMeanSquaredFeatureValue", _root_mean_square),
        (first, "getMeanAbsoluteDeviationFeatureValue", _mean_absolute_deviation),
        (first, "getRobustMeanAbsoluteDeviationFeatureValue", _robust_mean_absolute_deviation),
        (firstorder, "numpy", _FIRST_ORDER_NUMPY),
        (co, "_calculateMatrix", _glcm),
        (co, "_calculateCoefficients", _glcm_coefficients),  # sums over i + j and abs(i - j) in one pass each
        (co, "getMCCFeatureValue", _glcm_mcc),
        (glcm, "numpy", _numpy(nanmean=_nanmean)),  # nanmean of 13 angles: its NaN handling only where there is a NaN
        (glrlm, "numpy", _numpy(nanmean=_nanmean)),  # as for glcm
        (glrlm.RadiomicsGLRLM, "_calculateMatrix", _glrlm),
        (glszm.RadiomicsGLSZM, "_calculateMatrix", lambda self, _: self.imageArray.counts.glszm),
        (glszm.RadiomicsGLSZM, "_calculateCoefficients", _glszm_coefficients),
        (gldm.RadiomicsGLDM, "_calculateMatrix", _gldm),
        (ngtdm.RadiomicsNGTDM, "_calculateMatrix", lambda self, _: self.imageArray.counts.ngtdm),
        (cShape, "calculate_coefficients", mesh_coefficients),  # not all pairs of vertices
    ]
    saved = [(owner, name, vars(owner)[name]) for owner, name, _ in replacements]
    try:
        for owner, name, value in replacements:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in saved:
            setattr(owner, name, value)


def _array(image: Any) -> Any:
    return image if isinstance(image, _Seen) else sitk.GetArrayFromImage(image)


def _feature_names(cls) -> dict[str, bool]:
    if cls not in _names:
        _names[cls] = _get_feature_names(cls)
    return dict(_names[cls])


_get_feature_names = base.RadiomicsFeaturesBase.getFeatureNames.__func__


def _apply_binning(self, seen: _Seen) -> _Seen:
    self.coefficients["grayLevels"] = seen.counts.levels
    self.coefficients["Ng"] = int(seen.counts.levels[-1])
    return seen


def _numpy(**changed) -> types.SimpleNamespace:
    """numpy with some functions changed, to stand for a pyradiomics module's `numpy`."""
    return types.SimpleNamespace(**{**vars(np), **changed})


def _nanmean(a, axis, keepdims=False):
    return (np.nanmean if np.isnan(a).any() else np.mean)(a, axis, keepdims=keepdims)


# ---- first order: no voxel is NaN, and sums and percentiles were made with the counts


class _Values(np.ndarray):
    """The intensities (1, voxels), with the counts they belong to."""

    counts: Counts


def _first_order_counts(self, voxelCoordinates=None) -> None:
    counts = self.imageArray.counts
    self.targetVoxelArray = counts.values.view(_Values)
    self.targetVoxelArray.counts = counts
    self.coefficients["p_i"] = counts.histogram.reshape((1, -1)) / float(counts.histogram.sum())


_FIRST_ORDER_NUMPY = _numpy(
    nanpercentile=lambda a, q, axis=None: np.array([a.counts.percentiles[q]]),
    nanmedian=lambda a, axis: np.array([a.counts.percentiles[50]]),
    nanmean=lambda a, axis: np.array([a.counts.mean]),
    nanstd=lambda a, axis: np.array([np.sqrt(a.counts.sums[1] / a.size)]),
    nanmin=lambda a, axis: np.array([a.counts.low]),
    nanmax=lambda a, axis: np.array([a.counts.high]),
    nansum=np.sum,
)


def _moment(values: _Values, moment: int = 1) -> np.ndarray:
    return np.array([values.counts.sums[moment - 1] / values.size])


def _root_mean_square(self) -> np.ndarray:
    return np.array([np.sqrt(self.imageArray.counts.sums[4] / self.targetVoxelArray.size)])


def _mean_absolute_deviation(self) -> np.ndarray:
    return np.array([self.imageArray.counts.sums[0] / self.targetVoxelArray.size])


def _robust_mean_absolute_deviation(self) -> np.ndarray:
    counts = self.imageArray.counts
    values = counts.values[0]
    values = values[(values >= counts.percentiles[10]) & (values <= counts.percentiles[90])]
    return np.array([np.mean(np.abs(values - np.mean(values)))])


# ---- textures


def _glcm(self, voxelCoordinates=None) -> np.ndarray:
    p = self.imageArray.counts.glcm
    p = p + p.transpose(0, 2, 1, 3)
    total = p.sum((1, 2))
    if not total.all():  # angles without a pair are left out
        p, total = (p[..., total[0] > 0], total[:, total[0] > 0]) if total.any() else (p, np.full_like(total, np.nan))
    return p / total[:, None, None, :]


def _glcm_coefficients(self) -> None:
    p = self.P_glcm  # (1, level, level, angle)
    ng = self.coefficients["Ng"]
    angles = p.shape[3]
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
    """Root of the second largest eigenvalue of Q = P (px py + eps)^-1 P', averaged over the angles.

    Without eps Q is similar to the square of S = P / sqrt(px py), which is symmetric: its eigenvalues are cheap and
    nearly those of Q, and inverse iteration on Q itself settles the difference. Where that is not sure to find the
    second one, as others are close, the general solver of pyradiomics takes over.
    """
    p = np.ascontiguousarray(self.P_glcm[0].transpose(2, 0, 1))  # angle, i, j
    px = self.coefficients["px"][0, :, 0, :].T
    n = p.shape[1]
    if n < 2:  # flat region, as pyradiomics
        return 1
    q = (p / (px[:, :, None] * px[:, None, :] + self.coefficients["eps"])) @ p
    found = np.full(len(q), np.nan, complex)
    if n > EXACT_MCC and (px > 0).all():
        root = np.sqrt(px)
        likely = np.sort(np.linalg.eigvalsh(p / (root[:, :, None] * root[:, None, :])) ** 2, axis=1)
        apart = np.diff(likely[:, -3:], axis=1).min(1) > 1e-4
        found[apart] = _eigenvalues_near(q[apart], likely[apart, -2])
    unsure = np.isnan(found)
    if unsure.any():
        eigenvalues = np.linalg.eigvals(q[unsure])
        eigenvalues.sort()
        found[unsure] = eigenvalues[:, -2]
    return np.nanmean(np.sqrt(found)).real


def _eigenvalues_near(matrices: np.ndarray, guesses: np.ndarray) -> np.ndarray:
    """The eigenvalue of each matrix (k, n, n) nearest to its guess, by inverse iteration; NaN where that fails."""
    n = matrices.shape[1]
    shifted = matrices - (guesses * (1 + 1e-11))[:, None, None] * np.eye(n)
    vectors = np.cos(np.arange(n) * 1.7)[None, :, None].repeat(len(matrices), 0)  # no symmetry an eigenvector may have
    for _ in range(3):
        vectors = np.linalg.solve(shifted, vectors)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    applied = matrices @ vectors
    values = (vectors * applied).sum((1, 2))
    settled = np.linalg.norm(applied - values[:, None, None] * vectors, axis=1)[:, 0] < 1e-13
    return np.where(settled & (np.abs(values - guesses) < 1e-5), values, np.nan)


def _glrlm(self, voxelCoordinates=None) -> np.ndarray:
    p = self.imageArray.counts.glrlm
    runs = p.sum((1, 2))
    if not runs.all():
        p, runs = (p[..., runs[0] > 0], runs[:, runs[0] > 0]) if runs.any() else (p, np.full_like(runs, np.nan))
    self.coefficients["Nr"] = runs
    return p


def _glszm_coefficients(self) -> None:
    p = self.P_glszm
    sizes = self.imageArray.counts.zone_sizes
    ps = p.sum(1)
    self.coefficients.update(
        Np=ps @ sizes,
        Nz=p.sum((1, 2)),
        ps=ps,
        pg=p.sum(2),
        ivector=self.coefficients["grayLevels"].astype(float),
        jvector=sizes,
    )


def _gldm(self, voxelCoordinates=None) -> np.ndarray:
    p = self.imageArray.counts.gldm
    pd = p.sum(1)
    sizes = np.flatnonzero(pd[0])
    self.coefficients.update(
        Nz=pd.sum(1),
        pd=pd[:, sizes],
        pg=p.sum(2),
        ivector=self.coefficients["grayLevels"].astype(float),
        jvector=sizes + 1.0,
    )
    return p[:, :, sizes]
