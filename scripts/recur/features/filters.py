"""The filtered images of a region's box (image types Wavelet and LoG), equal to pyradiomics' to the last bit or two.

pyradiomics filters the padded box of each region: its wavelet wraps round that box and its LoG is a recursion over
all of it, so no box may stand for another one. Only the part that the region fills is made here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pywt
import SimpleITK as sitk
from radiomics import imageoperations

from recur.features import kernels
from recur.features.sets import log_name

WAVELET = "coif1"
# itk::RecursiveGaussianImageFilter: the constants of Deriche 1993 (INRIA report 1893) for a Gaussian and its second
# derivative, (a1, b1, a2, b2) each, and the frequencies and decays that all share
GAUSSIAN = (1.3530, 1.8151, -0.3531, 0.0902)
SECOND = (-1.3563, 5.2318, 0.3446, -2.2355)
FREQUENCY, DECAY = (0.6681, 2.0787), (-1.3932, -1.3732)

Part = tuple[slice, slice, slice]


def filtered(
    image: np.ndarray, part: Part, spacing: np.ndarray, image_types: list[str], sigmas: list[float]
) -> Iterator[tuple[str, np.ndarray]]:
    """Names and images (`part` of the box, (z, y, x)) in the order of sets.py.

    image: the padded box on the grid, float32 or float64; spacing: mm, (x, y, z). A LoG that pyradiomics leaves out, as
    the box is too small for it, is left out. Where the compiled filters do not cover a case (double precision, an even
    axis filled to its end), pyradiomics' own are used.
    """
    yield "original", image[part]
    single = image.dtype == np.float32
    if "Wavelet" in image_types:
        to_the_end = any(s.stop == n and n % 2 == 0 for s, n in zip(part, image.shape, strict=True))
        if single and not to_the_end and min(image.shape) > 2:
            yield from _wavelets(image, part)
        else:
            yield from _by_pyradiomics(imageoperations.getWaveletImage, image, part, spacing)
    if "LoG" in image_types:
        if single and min(image.shape) >= 4:
            for sigma in sigmas:
                if all(n >= np.ceil(sigma / step) + 1 for n, step in zip(image.shape[::-1], spacing, strict=True)):
                    yield log_name(sigma), _laplacian(image, part, float(sigma), spacing)
        else:
            yield from _by_pyradiomics(imageoperations.getLoGImage, image, part, spacing, [float(s) for s in sigmas])


def _by_pyradiomics(function, image, part, spacing, sigmas=()) -> Iterator[tuple[str, np.ndarray]]:
    box = sitk.GetImageFromArray(image)
    box.SetSpacing(np.asarray(spacing, float).tolist())
    for made, name, _ in function(box, None, sigma=sigmas):
        yield name, sitk.GetArrayFromImage(made)[part]


@lru_cache(maxsize=1)
def _taps() -> tuple[np.ndarray, np.ndarray]:
    """Low and high pass of the wavelet in PyWavelets' own single precision (its response to 1), last tap first."""
    one = np.zeros(16, np.float32)
    one[8] = 1
    bands = pywt.swtn(one, WAVELET, level=1, axes=(0,))[0]
    low, high = (np.ascontiguousarray(bands[band][5:11]) for band in "ad")
    return low, high


def _wavelets(image: np.ndarray, part: Part) -> Iterator[tuple[str, np.ndarray]]:
    """The eight images of one level of the undecimated transform, detail bands first as in pyradiomics."""
    index = []
    for s, n in zip(part, image.shape, strict=True):
        even = n + n % 2  # an odd axis is extended by its own first voxel
        reach = np.arange(s.start - 2, s.stop + 3) % even
        index.append(np.where(reach == n, 0, reach))
    bands = [("", np.ascontiguousarray(image[np.ix_(*index)]))]
    for axis in (2, 1):
        bands = [(name + letter, _along(values, axis, t)) for name, values in bands for letter, t in _bands()]
    for wanted in ("HHH", "HHL", "HLH", "HLL", "LHH", "LHL", "LLH", "LLL"):
        values = dict(bands)[wanted[:2]]
        yield f"wavelet-{wanted}", _along(values, 0, dict(_bands())[wanted[2]])


def _bands() -> tuple[tuple[str, np.ndarray], ...]:
    low, high = _taps()
    return ("L", low), ("H", high)


def _along(values: np.ndarray, axis: int, taps: np.ndarray) -> np.ndarray:
    shape = list(values.shape)
    behind = math.prod(shape[axis + 1 :])
    before = math.prod(shape[:axis])
    shape[axis] -= 5
    out = np.empty(shape, np.float32)
    kernels.six_taps(values.reshape(before, -1), behind, taps, out.reshape(before, -1))
    return out


def _laplacian(image: np.ndarray, part: Part, sigma: float, spacing: np.ndarray) -> np.ndarray:
    """itk::LaplacianRecursiveGaussianImageFilter with NormalizeAcrossScale: float32 (z, y, x), sigma and spacing in mm.

    Per axis the second derivative along it, then the two smoothings (x before y before z), float32 between passes.
    A pass needs the whole axis, but hands on only `part` of it.
    """
    total = np.zeros([s.stop - s.start for s in part], np.float32)
    for dim in range(3):
        values = image
        for d in [dim, *(k for k in range(3) if k != dim)]:
            axis = 2 - d
            values = _recursion(values, axis, part[axis], _coefficients(sigma, float(spacing[d]), second=d == dim))
        total = (total + values.astype(float) * (1 / float(spacing[dim]) ** 2)).astype(np.float32)
    return total


def _recursion(values: np.ndarray, axis: int, kept: slice, coefficients: np.ndarray) -> np.ndarray:
    """The recursion along an axis of (z, y, x), the `kept` part of it as float32 with the same order of axes."""
    # planes whose rows are the filtered axis, so that its lines lie side by side
    order = {0: (1, 0, 2), 1: (0, 1, 2), 2: (0, 2, 1)}[axis]
    planes = values.transpose(order)
    count, n, m = planes.shape
    out = np.empty((count, kept.stop - kept.start, m), np.float32)
    forth, back, made = np.empty((n, m)), np.empty((n, m)), np.empty((n, m), np.float32)
    for k in range(count):
        kernels.recursive_gaussian(np.ascontiguousarray(planes[k]), coefficients, forth, back, made)
        out[k] = made[kept]
    return out.transpose(order)


@lru_cache(maxsize=64)
def _coefficients(sigma: float, spacing: float, second: bool) -> np.ndarray:
    """N0-3, D1-4, M1-4, BN1-4, BM1-4 of the recursion, as itk::RecursiveGaussianImageFilter::SetUp makes them."""
    s = sigma / spacing
    c1, c2 = (math.cos(w / s) for w in FREQUENCY)
    e1, e2 = (math.exp(decay / s) for decay in DECAY)
    d = np.array(
        [
            -2 * (e2 * c2 + e1 * c1),
            4 * c2 * c1 * e1 * e2 + e1 * e1 + e2 * e2,
            -2 * c1 * e1 * e2 * e2 - 2 * c2 * e2 * e1 * e1,
            e1 * e1 * e2 * e2,
        ]
    )
    sd, dd, ed = 1 + d.sum(), d @ np.arange(1, 5), d @ np.arange(1, 5) ** 2
    n, sn, dn, en = _numerator(s, GAUSSIAN)
    if second:
        n2, sn2, dn2, en2 = _numerator(s, SECOND)
        beta = -(2 * sn2 - sd * n2[0]) / (2 * sn - sd * n[0])
        n, sn, dn, en = n2 + beta * n, sn2 + beta * sn, dn2 + beta * dn, en2 + beta * en
        alpha = (en * sd * sd - ed * sn * sd - 2 * dn * dd * sd + 2 * dd * dd * sn) / sd**3
        n = n * (sigma**2 / alpha)
    else:
        n = n * (1 / (2 * sn / sd - n[0]))
    m = np.array([*(n[1:] - d[:3] * n[0]), -d[3] * n[0]])
    return np.concatenate([n, d, m, d * n.sum() / sd, d * m.sum() / sd])


def _numerator(s: float, constants: tuple[float, ...]) -> tuple[np.ndarray, float, float, float]:
    a1, b1, a2, b2 = constants
    s1, s2 = (math.sin(w / s) for w in FREQUENCY)
    c1, c2 = (math.cos(w / s) for w in FREQUENCY)
    e1, e2 = (math.exp(decay / s) for decay in DECAY)
    n0 = a1 + a2
    n1 = e2 * (b2 * s2 - (a2 + 2 * a1) * c2) + e1 * (b1 * s1 - (a1 + 2 * a2) * c1)
    n2 = 2 * e1 * e2 * ((a1 + a2) * c2 * c1 - b1 * c2 * s1 - b2 * c1 * s2) + a2 * e1 * e1 + a1 * e2 * e2
    n3 = e2 * e1 * e1 * (b2 * s2 - a2 * c2) + e1 * e2 * e2 * (b1 * s1 - a1 * c1)
    return np.array([n0, n1, n2, n3]), n0 + n1 + n2 + n3, n1 + 2 * n2 + 3 * n3, n1 + 4 * n2 + 9 * n3
