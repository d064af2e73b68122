"""Everything that pyradiomics' feature classes count in one image of a region: `Voxels.count`, in compiled passes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from radiomics import cMatrices

from recur.features import kernels
from recur.features.bins import bin_edges

QUANTILES = (10, 25, 50, 75, 90)
MAX_LEVELS = 60_000  # 16 bits a level


class Counts(NamedTuple):
    """What one image of a region amounts to. Matrices have a leading axis of 1, as pyradiomics' own.

    Gray levels without voxels have no row; angles in pyradiomics' order.
    """

    values: np.ndarray  # the region's intensities, float64 (1, voxels)
    levels: np.ndarray  # gray levels that occur
    histogram: np.ndarray  # voxels of each
    low: float
    high: float
    mean: float
    sums: np.ndarray  # of |d|, d^2, d^3, d^4 (d: deviation from the mean) and of value^2
    percentiles: dict[int, float]
    glcm: np.ndarray  # (1, level, level, angle), not symmetric
    glrlm: np.ndarray  # (1, level, run length, angle)
    gldm: np.ndarray  # (1, level, neighbours + 1)
    ngtdm: np.ndarray  # (1, level, (n, s, level))
    glszm: np.ndarray  # (1, level, zone size), only sizes that occur
    zone_sizes: np.ndarray  # these sizes


class Voxels:
    """A region's voxels and the scratch memory for its images, which all have its shape."""

    def __init__(self, region: np.ndarray) -> None:
        """region: bool (z, y, x), its own tight box."""
        self.inside = np.flatnonzero(region)
        self.shape = region.shape
        padded = np.zeros([n + 2 for n in region.shape], bool)
        padded[1:-1, 1:-1, 1:-1] = region
        self.flat = np.flatnonzero(padded)
        _, ny, nx = padded.shape
        self.steps = nx, ny * nx
        self.angles = cMatrices.generate_angles(np.array(region.shape), np.array([1]), False, False, 0)
        self.offsets = self.angles.astype(np.int64) @ np.array([ny * nx, nx, 1])
        row = self.flat // nx
        starts = np.flatnonzero(np.diff(row, prepend=-1))
        stops = np.append(starts[1:], len(row)) - 1
        self.spans = np.stack([self.flat[starts], self.flat[stops] + 1], 1)
        self.levels = np.zeros(padded.size, np.uint16)
        self.length = np.zeros((kernels.ANGLES, padded.size), np.uint16)
        self.parent, self.size = np.zeros((2, padded.size), np.int32)
        self.zones = np.empty((len(self.flat), 2), np.int64)
        self._lone = None

    def count(self, image: np.ndarray, settings: dict[str, Any]) -> Counts:
        """All counts of one image, (z, y, x) on the region's tight box. settings: of the bins (bins.bin_edges)."""
        values = image.reshape(-1)[self.inside] if image.flags.c_contiguous else image.ravel()[self.inside]
        edges = np.asarray(bin_edges(values, settings), float)
        if len(edges) > MAX_LEVELS:
            raise ValueError(f"{len(edges)} gray levels; raise bin_width")
        values = values.astype(float)
        histogram = np.zeros(len(edges) + 1, np.int64)
        kernels.discretise(values, edges, self.flat, self.levels, histogram)
        present = np.flatnonzero(histogram)
        counted = histogram[present]
        ng = int(present[-1])
        low, high, mean = float(values.min()), float(values.max()), float(np.mean(values))
        sums = np.empty(5)
        kernels.central_sums(values, mean, sums)
        glszm, zone_sizes = self._zones(present)
        glcm, glrlm, gldm, ngtdm = self._neighbours(ng, present, counted)
        return Counts(
            values=values.reshape(1, -1),
            levels=present,
            histogram=counted,
            low=low,
            high=high,
            mean=mean,
            sums=sums,
            percentiles=_percentiles(values, low, high),
            glcm=glcm,
            glrlm=glrlm,
            gldm=gldm,
            ngtdm=ngtdm,
            glszm=glszm,
            zone_sizes=zone_sizes,
        )

    def _neighbours(self, ng: int, present: np.ndarray, counted: np.ndarray) -> tuple[np.ndarray, ...]:
        glcm = np.zeros((ng, ng + 1, kernels.ANGLES), np.int32)
        long_runs = np.zeros((ng, max(self.shape), kernels.ANGLES), np.int32)
        gldm = np.zeros((ng, 2 * kernels.ANGLES + 1), np.int32)
        difference = np.zeros(ng)
        kernels.count_neighbours(self.levels, self.spans, self.offsets, glcm, long_runs, gldm, difference, self.length)
        rows = present - 1
        glcm = glcm[np.ix_(rows, present)].astype(float)
        # with S voxels in runs of three or more, a level of n voxels and e equal pairs has e - (pairs of these) runs
        # of two and n - 2 (runs of two) - S of one
        runs = long_runs[rows].astype(float)
        steps = np.arange(runs.shape[1])[:, None]
        equal = glcm[np.arange(len(rows)), np.arange(len(rows))]
        runs[:, 1] = equal - (steps * runs).sum(1)
        runs[:, 0] = counted[:, None] - ((steps + 1) * runs).sum(1)
        if (lonely := self._lonely(glcm)).any():
            runs[:, :, lonely] = 0
        ngtdm = np.stack([counted, difference[rows], present], 1).astype(float)
        return glcm[None], runs[None], gldm[rows].astype(float)[None], ngtdm[None]

    def _lonely(self, glcm: np.ndarray) -> np.ndarray:
        """Angles along which no line holds two voxels of the region; pyradiomics counts no runs there."""
        if self._lone is None:
            self._lone = glcm.sum((0, 1)) == 0
            coordinates = np.stack(np.unravel_index(self.inside, self.shape), 1)
            for a in np.flatnonzero(self._lone):
                axis = int(np.flatnonzero(self.angles[a])[-1])  # moved along the angle until this coordinate is 0
                moved = coordinates - coordinates[:, [axis]] * self.angles[a] * self.angles[a, axis]
                self._lone[a] = len(np.unique(moved, axis=0)) == len(moved)
        return self._lone

    def _zones(self, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n = kernels.count_zones(self.levels, self.flat, *self.steps, self.parent, self.size, self.zones)
        sizes, column = np.unique(self.zones[:n, 1], return_inverse=True)
        row = np.searchsorted(present, self.zones[:n, 0])
        matrix = np.bincount(row * len(sizes) + column, minlength=len(present) * len(sizes)).astype(float)
        return matrix.reshape(1, len(present), len(sizes)), sizes.astype(float)


def _percentiles(values: np.ndarray, low: float, high: float) -> dict[int, float]:
    """numpy's percentiles (linear) of more than one value from their order statistics."""
    if low == high:
        return dict.fromkeys(QUANTILES, low)
    position = np.array(QUANTILES) / 100 * (len(values) - 1)
    rank = np.floor(position).astype(np.int64)
    found = np.empty(2 * len(rank))
    kernels.order_statistics(values, low, high, np.append(rank, np.minimum(rank + 1, len(values) - 1)), found)
    below, above = found[: len(rank)], found[len(rank) :]
    share = position - rank
    between = np.where(share < 0.5, below + (above - below) * share, above - (above - below) * (1 - share))
    return dict(zip(QUANTILES, between.tolist(), strict=True))
