"""Compiled loops: neighbour counts, zones, cubic B-spline, farthest points. Called by texture, resample and shape.

Every function has one fixed signature and is compiled (or read from NUMBA_CACHE_DIR) when this module is imported,
so that a process pays once and before its first case. Without NUMBA_CACHE_DIR nothing is kept: numba's own default
would be the source tree.
"""

from __future__ import annotations

import os

import numba
import numpy as np

CACHE = "NUMBA_CACHE_DIR" in os.environ
POLE = np.sqrt(3.0) - 2.0  # of the cubic B-spline filter
HORIZON = int(np.ceil(np.log(1e-10) / np.log(-POLE)))  # ITK's tolerance for the start of the recursion


@numba.njit(
    "void(int32[::1], int64[::1], int64[::1], int32[:,:,::1], int32[:,:,:,::1], int32[:,::1], float64[::1],"
    " int64[::1], int16[:,::1])",
    cache=CACHE,
)
def count_neighbours(levels, voxels, offsets, glcm, glrlm, gldm, difference, count, run):
    """One pass over the region for GLCM, GLRLM, GLDM and NGTDM (13 angles, distance 1, alpha 0).

    levels: flat image of gray levels, 0 outside the region and in a border of one voxel. voxels: flat indices of the
    region, rising. offsets: the 13 angles as flat steps, all positive. Filled in place: glcm (level, neighbour's level,
    angle), its column 0 being neighbours outside; glrlm (level, length - 1, angle, 0), the last axis' 1 collecting
    steps that end no run; gldm (level, equal neighbours); difference and count, NGTDM's s_i and n_i.
    run (voxel, angle): length - 1 of the run so far. Adding to a dummy cell is faster than a branch per neighbour.
    """
    for k in range(voxels.size):
        v = voxels[k]
        level = levels[v]
        row = level - 1
        equal = 0
        inside = 0
        total = 0
        for a in range(offsets.size):
            step = offsets[a]
            ahead = levels[v + step]
            behind = levels[v - step]
            glcm[row, ahead, a] += 1
            inside += (ahead > 0) + (behind > 0)
            total += ahead + behind
            continues = behind == level
            equal += (ahead == level) + continues
            length = (run[v - step, a] + 1) * continues
            run[v, a] = length
            glrlm[row, length * (ahead != level), a, 1 * (ahead == level)] += 1
        gldm[row, equal] += 1
        count[row] += 1
        if inside > 0:  # a voxel without neighbours counts with difference 0
            difference[row] += abs(float(level) - total / inside)


@numba.njit("int64(int32[::1], int64[::1], int32[::1], int32[::1])", cache=CACHE)
def zone_sizes(levels, offsets, parent, size):
    """Size of each 26-connected zone of equal level, at the zone's first voxel of `size`; returns the largest.

    Union-find over the 13 neighbours already seen. levels, offsets: as in count_neighbours; parent, size: zeros.
    """
    for v in range(levels.size):
        if levels[v] == 0:
            continue
        root = v
        parent[v] = v
        for a in range(offsets.size):
            u = v - offsets[a]
            if levels[u] != levels[v]:
                continue
            while parent[u] != u:
                parent[u] = parent[parent[u]]
                u = parent[u]
            if u < root:
                parent[root] = u
                root = u
            elif u > root:
                parent[u] = root
    largest = 0
    for v in range(levels.size):
        if levels[v] == 0:
            continue
        u = v
        while parent[u] != u:
            u = parent[u]
        parent[v] = u
        size[u] += 1
        largest = max(largest, size[u])
    return largest


@numba.njit("void(int32[::1], int32[::1], float64[:,::1])", cache=CACHE)
def count_zones(levels, size, glszm):
    """Fill glszm (level, size - 1) from the sizes of zone_sizes."""
    for v in range(levels.size):
        if size[v] > 0:
            glszm[levels[v] - 1, size[v] - 1] += 1.0


@numba.njit("float64(float64[:,::1], int64[::1])", cache=CACHE)
def farthest(points, starts):
    """Largest squared distance between two points of the same group; group g is points[starts[g]:starts[g + 1]]."""
    best = 0.0
    for g in range(starts.size - 1):
        for i in range(starts[g], starts[g + 1]):
            for j in range(i + 1, starts[g + 1]):
                d0 = points[i, 0] - points[j, 0]
                d1 = points[i, 1] - points[j, 1]
                d2 = points[i, 2] - points[j, 2]
                best = max(best, d0 * d0 + d1 * d1 + d2 * d2)
    return best


@numba.njit("void(float64[:,::1])", cache=CACHE)
def spline_filter(lines):
    """Cubic B-spline coefficients in place along axis 0, mirror boundary.

    Unser, Aldroubi, Eden 1993 (IEEE Trans Signal Process 41:821), with ITK's truncation of the starting sum.
    """
    n, m = lines.shape
    if n == 1:
        return
    z = POLE
    gain = (1 - z) * (1 - 1 / z)
    for i in range(n):
        for j in range(m):
            lines[i, j] *= gain
    for j in range(m):
        power = z
        start = lines[0, j]
        if n > HORIZON:
            for k in range(1, HORIZON):
                start += power * lines[k, j]
                power *= z
        else:
            back = z ** (n - 1)
            start += back * lines[n - 1, j]
            back = back * back / z
            for k in range(1, n - 1):
                start += (power + back) * lines[k, j]
                power *= z
                back /= z
            start /= 1 - power * power
        lines[0, j] = start
    for i in range(1, n):
        for j in range(m):
            lines[i, j] += z * lines[i - 1, j]
    for j in range(m):
        lines[n - 1, j] = (z / (z * z - 1)) * (z * lines[n - 2, j] + lines[n - 1, j])
    for i in range(n - 2, -1, -1):
        for j in range(m):
            lines[i, j] = z * (lines[i + 1, j] - lines[i, j])


@numba.njit(
    "void(float64[:,:,::1], int64[:,::1], float64[:,::1], int64[:,::1], float64[:,::1], int64[:,::1], float64[:,::1],"
    " float32[:,:,::1])",
    cache=CACHE,
)
def spline_values(c, tap_z, weight_z, tap_y, weight_y, tap_x, weight_x, out):
    """Values on an axis-aligned grid from coefficients c (z, y, x): per output index four taps and their weights."""
    ny, nx = c.shape[1:]
    plane = np.empty((ny, nx))
    row = np.empty(nx)
    for k in range(out.shape[0]):
        for y in range(ny):
            for x in range(nx):
                plane[y, x] = (
                    weight_z[k, 0] * c[tap_z[k, 0], y, x]
                    + weight_z[k, 1] * c[tap_z[k, 1], y, x]
                    + weight_z[k, 2] * c[tap_z[k, 2], y, x]
                    + weight_z[k, 3] * c[tap_z[k, 3], y, x]
                )
        for j in range(out.shape[1]):
            for x in range(nx):
                row[x] = (
                    weight_y[j, 0] * plane[tap_y[j, 0], x]
                    + weight_y[j, 1] * plane[tap_y[j, 1], x]
                    + weight_y[j, 2] * plane[tap_y[j, 2], x]
                    + weight_y[j, 3] * plane[tap_y[j, 3], x]
                )
            for i in range(out.shape[2]):
                out[k, j, i] = (
                    weight_x[i, 0] * row[tap_x[i, 0]]
                    + weight_x[i, 1] * row[tap_x[i, 1]]
                    + weight_x[i, 2] * row[tap_x[i, 2]]
                    + weight_x[i, 3] * row[tap_x[i, 3]]
                )
