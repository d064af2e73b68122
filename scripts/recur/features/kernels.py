"""Compiled loops of the fast path: resampling, filters, counts of a discretised region, farthest points.

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
ANGLES = 13  # half of a voxel's 26 neighbours


@numba.njit(
    "void(uint16[::1], int64[:,::1], int64[::1], int32[:,:,::1], int32[:,:,::1], int32[:,::1], float64[::1],"
    " uint16[:,::1])",
    cache=CACHE,
)
def count_neighbours(levels, spans, offsets, glcm, runs, gldm, difference, length):
    """One pass over the region for GLCM, GLRLM, GLDM and NGTDM (13 angles, distance 1, alpha 0).

    levels: flat image of gray levels, 0 outside the region and in a border of one voxel. spans (row, 2): first and last
    + 1 voxel of each row that meets the region. offsets: the 13 angles as flat steps, all positive. Filled in place:
    glcm (level, neighbour's level, angle), its column 0 being neighbours outside; runs (level, length - 1, angle), for
    lengths of three or more only (the others follow from the GLCM); gldm (level, equal neighbours); difference, NGTDM's
    s_i. length (angle, voxel): length - 1 of the run so far, zeros outside the region.
    Loops along a row are free of branches and so done in vectors.
    """
    widest = 0
    for k in range(spans.shape[0]):
        widest = max(widest, spans[k, 1] - spans[k, 0])
    total = np.empty(widest, np.uint32)
    inside = np.empty(widest, np.uint16)
    equal = np.empty(widest, np.uint16)
    ended = np.empty(widest, np.uint16)
    one = np.uint16(1)
    for k in range(spans.shape[0]):
        first = spans[k, 0]
        n = spans[k, 1] - first
        here = levels[first : first + n]
        for i in range(n):
            total[i] = 0
            inside[i] = 0
            equal[i] = 0
        for a in range(ANGLES):
            step = offsets[a]
            ahead = levels[first + step : first + step + n]
            behind = levels[first - step : first - step + n]
            for i in range(n):
                total[i] += np.uint32(ahead[i]) + np.uint32(behind[i])
                inside[i] += np.uint16(ahead[i] > 0) + np.uint16(behind[i] > 0)
                equal[i] += np.uint16(ahead[i] == here[i]) + np.uint16(behind[i] == here[i])
            now = length[a, first : first + n]
            if step == 1:
                run = 0
                for i in range(n):
                    run = (run + 1) * (behind[i] == here[i])
                    now[i] = run
            else:
                before = length[a, first - step : first - step + n]
                for i in range(n):
                    now[i] = (before[i] + one) * np.uint16(behind[i] == here[i])
            for i in range(n):
                ended[i] = now[i] * np.uint16(ahead[i] != here[i])
            for i in range(n):
                if ended[i] > 1 and here[i] > 0:
                    runs[np.int64(here[i]) - 1, np.int64(ended[i]), a] += 1
        for i in range(n):
            level = np.int64(here[i])
            if level > 0:
                gldm[level - 1, equal[i]] += 1
                if inside[i] > 0:  # a voxel without neighbours counts with difference 0
                    difference[level - 1] += abs(float(level) - total[i] / inside[i])
                for a in range(ANGLES):
                    glcm[level - 1, np.int64(levels[first + i + offsets[a]]), a] += 1


@numba.njit("int64(int32[::1], int64)", cache=CACHE)
def _root(parent, v):
    while parent[v] != v:
        parent[v] = parent[parent[v]]
        v = parent[v]
    return v


@numba.njit("int64(int32[::1], int64, int64)", cache=CACHE)
def _joined(parent, root, v):
    other = _root(parent, v)
    if other < root:
        parent[root] = other
        return other
    parent[other] = root
    return root


@numba.njit("int64(uint16[::1], int64[::1], int64, int64, int32[::1], int32[::1], int64[:,::1])", cache=CACHE)
def count_zones(levels, voxels, row, plane, parent, size, zones):
    """Level and size of every 26-connected zone of equal level into the rows of `zones`; returns their number.

    Union-find over the 13 neighbours already seen; of two that touch each other one is enough. levels: as in
    count_neighbours; voxels: the region's flat indices, rising; row, plane: flat steps; parent, size: scratch.
    """
    for k in range(voxels.size):
        v = voxels[k]
        level = levels[v]
        size[v] = 0
        if levels[v - plane] == level:  # touches all the other twelve
            parent[v] = _root(parent, v - plane)
            continue
        root = v
        parent[v] = v
        below = v - plane
        if levels[v - row] == level:  # touches all but the three of the row beyond in the plane before
            root = _joined(parent, root, v - row)
        else:
            if levels[v - 1] == level:  # touches all but those one column ahead
                root = _joined(parent, root, v - 1)
            else:
                if levels[v - row - 1] == level:
                    root = _joined(parent, root, v - row - 1)
                if levels[below - 1] == level:
                    root = _joined(parent, root, below - 1)
                if levels[below - row - 1] == level:
                    root = _joined(parent, root, below - row - 1)
                if levels[below - row] == level:
                    root = _joined(parent, root, below - row)
            if levels[v - row + 1] == level:
                root = _joined(parent, root, v - row + 1)
            if levels[below + 1] == level:
                root = _joined(parent, root, below + 1)
            if levels[below - row + 1] == level:
                root = _joined(parent, root, below - row + 1)
        if levels[below + row] == level:
            root = _joined(parent, root, below + row)
        else:
            if levels[below + row - 1] == level:
                root = _joined(parent, root, below + row - 1)
            if levels[below + row + 1] == level:
                root = _joined(parent, root, below + row + 1)
    for k in range(voxels.size):
        size[_root(parent, voxels[k])] += 1
    n = 0
    for k in range(voxels.size):
        v = voxels[k]
        if size[v] > 0:
            zones[n, 0] = levels[v]
            zones[n, 1] = size[v]
            n += 1
    return n


@numba.njit("void(float64[::1], float64[::1], int64[::1], uint16[::1], int64[::1])", cache=CACHE)
def discretise(values, edges, voxels, levels, counts):
    """Level of each value (the number of edges not above it) into `levels` at its voxel, and how many have each level.

    edges: rising, about equally wide, the first not above the least value.
    """
    last = edges.size - 1
    scale = last / (edges[last] - edges[0])
    for k in range(values.size):
        x = values[k]
        i = min(max(int((x - edges[0]) * scale), 0), last)
        while i < last and x >= edges[i + 1]:
            i += 1
        while x < edges[i]:
            i -= 1
        levels[voxels[k]] = i + 1
        counts[i + 1] += 1


@numba.njit("void(float64[::1], float64, float64[::1])", cache=CACHE)
def central_sums(values, mean, out):
    """Sums of |d|, d^2, d^3, d^4 (d = value - mean) and of value^2 into `out`, in blocks for the last digits' sake."""
    out[:] = 0.0
    for start in range(0, values.size, 256):
        block = values[start : start + 256]
        s0 = s1 = s2 = s3 = s4 = 0.0
        for i in range(block.size):
            d = block[i] - mean
            q = d * d
            s0 += abs(d)
            s1 += q
            s2 += q * d
            s3 += q * q
            s4 += block[i] * block[i]
        out[0] += s0
        out[1] += s1
        out[2] += s2
        out[3] += s3
        out[4] += s4


@numba.njit("void(float64[::1], float64, float64, int64[::1], float64[::1])", cache=CACHE)
def order_statistics(values, low, high, ranks, out):
    """The values of the given ranks (0 = least) of `values`, which lie in low .. high, low < high.

    A histogram finds the few values around each rank; only those are sorted.
    """
    n = 4096
    scale = n / (high - low)
    counts = np.zeros(n + 1, np.int64)
    for k in range(values.size):
        counts[int((values[k] - low) * scale)] += 1
    wanted = np.zeros(n + 1, np.bool_)
    before = np.zeros(ranks.size, np.int64)  # values in bins that are not kept, below each rank's bin
    kept = 0
    for r in range(ranks.size):
        seen = 0
        for b in range(n + 1):
            if seen + counts[b] > ranks[r]:
                if not wanted[b]:
                    kept += counts[b]
                wanted[b] = True
                break
            seen += counts[b]
    for r in range(ranks.size):
        seen = 0
        for b in range(n + 1):
            if seen + counts[b] > ranks[r]:
                break
            seen += counts[b]
            if not wanted[b]:
                before[r] += counts[b]
    few = np.empty(kept)
    m = 0
    for k in range(values.size):
        if wanted[int((values[k] - low) * scale)]:
            few[m] = values[k]
            m += 1
    few.sort()
    for r in range(ranks.size):
        out[r] = few[ranks[r] - before[r]]


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


@numba.njit("void(float32[:,::1], int64, float32[::1], float32[:,::1])", cache=CACHE)
def six_taps(source, step, taps, out):
    """out[p, i] = sum over t = 0 .. 5 of taps[t] * source[p, i + (5 - t) step], float32, summed in that order.

    One axis of a six-tap filter: rows p are what lies before the axis, `step` is the length of what lies behind it.
    """
    n = out.shape[1]
    for p in range(out.shape[0]):
        s0 = source[p, 5 * step : 5 * step + n]
        s1 = source[p, 4 * step : 4 * step + n]
        s2 = source[p, 3 * step : 3 * step + n]
        s3 = source[p, 2 * step : 2 * step + n]
        s4 = source[p, step : step + n]
        s5 = source[p, 0:n]
        made = out[p]
        for i in range(n):
            value = taps[0] * s0[i] + taps[1] * s1[i]
            value = value + taps[2] * s2[i]
            value = value + taps[3] * s3[i]
            value = value + taps[4] * s4[i]
            made[i] = value + taps[5] * s5[i]


@numba.njit("void(float32[:,::1], float64[::1], float64[:,::1], float64[:,::1], float32[:,::1])", cache=CACHE)
def recursive_gaussian(lines, c, forth, back, out):
    """ITK's recursive Gaussian (or its second derivative) along axis 0 of (n, m), n >= 4, its m lines side by side.

    c: N0-3, D1-4, M1-4, BN1-4, BM1-4 of itk::RecursiveSeparableImageFilter (Deriche 1993); forth, back: scratch (n, m).
    The border value goes on for ever beyond the border. Same order of operations as ITK, for the same last bit.
    """
    n, m = lines.shape
    n0, n1, n2, n3 = c[0], c[1], c[2], c[3]
    d1, d2, d3, d4 = c[4], c[5], c[6], c[7]
    m1, m2, m3, m4 = c[8], c[9], c[10], c[11]
    for j in range(m):
        v = float(lines[0, j])
        x1, x2, x3 = float(lines[1, j]), float(lines[2, j]), float(lines[3, j])
        y0 = v * n0 + v * n1 + v * n2 + v * n3
        y1 = x1 * n0 + v * n1 + v * n2 + v * n3
        y2 = x2 * n0 + x1 * n1 + v * n2 + v * n3
        y3 = x3 * n0 + x2 * n1 + x1 * n2 + v * n3
        y0 -= v * c[12] + v * c[13] + v * c[14] + v * c[15]
        y1 -= y0 * d1 + v * c[13] + v * c[14] + v * c[15]
        y2 -= y1 * d1 + y0 * d2 + v * c[14] + v * c[15]
        y3 -= y2 * d1 + y1 * d2 + y0 * d3 + v * c[15]
        forth[0, j], forth[1, j], forth[2, j], forth[3, j] = y0, y1, y2, y3
    for i in range(4, n):
        for j in range(m):
            value = lines[i, j] * n0 + lines[i - 1, j] * n1 + lines[i - 2, j] * n2 + lines[i - 3, j] * n3
            forth[i, j] = value - (
                forth[i - 1, j] * d1 + forth[i - 2, j] * d2 + forth[i - 3, j] * d3 + forth[i - 4, j] * d4
            )
    for j in range(m):
        v = float(lines[n - 1, j])
        x1, x2 = float(lines[n - 2, j]), float(lines[n - 3, j])
        y0 = v * m1 + v * m2 + v * m3 + v * m4
        y1 = v * m1 + v * m2 + v * m3 + v * m4
        y2 = x1 * m1 + v * m2 + v * m3 + v * m4
        y3 = x2 * m1 + x1 * m2 + v * m3 + v * m4
        y0 -= v * c[16] + v * c[17] + v * c[18] + v * c[19]
        y1 -= y0 * d1 + v * c[17] + v * c[18] + v * c[19]
        y2 -= y1 * d1 + y0 * d2 + v * c[18] + v * c[19]
        y3 -= y2 * d1 + y1 * d2 + y0 * d3 + v * c[19]
        back[n - 1, j], back[n - 2, j], back[n - 3, j], back[n - 4, j] = y0, y1, y2, y3
    for i in range(n - 4, 0, -1):
        for j in range(m):
            value = lines[i, j] * m1 + lines[i + 1, j] * m2 + lines[i + 2, j] * m3 + lines[i + 3, j] * m4
            back[i - 1, j] = value - (back[i, j] * d1 + back[i + 1, j] * d2 + back[i + 2, j] * d3 + back[i + 3, j] * d4)
    for i in range(n):
        for j in range(m):
            out[i, j] = forth[i, j] + back[i, j]


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
