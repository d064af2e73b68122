"""Compiled loops of the calibration slope in many bootstrap draws.

Compiled on import and kept as in recur.statistics._forest_loops.
"""

from __future__ import annotations

import os

import numba
import numpy as np

CACHE = "NUMBA_CACHE_DIR" in os.environ
MAX_STEPS = 100  # of Newton's method in one draw


@numba.njit(
    "UniTuple(float64, 3)(float64, float64[::1], int64[::1], boolean[::1], boolean[::1], float64[::1], float64[::1],"
    " boolean, float64[:,::1])",
    cache=CACHE,
)
def slope_terms(beta, x, group, event, competing, weight, g_before, efron, sums):
    """Log partial likelihood, its gradient and information at `beta` of one draw of drawn_slopes.

    sums (J, 10) is work space: moments 0 to 2 of the rows at risk, of the events, of those with the competing event;
    number of events.
    """
    n, times = x.size, g_before.size
    sums[:] = 0.0
    top = -np.inf
    for i in range(n):
        if weight[i] > 0:
            top = max(top, beta * x[i])
    loglik, gradient, information = 0.0, 0.0, 0.0
    for i in range(n):
        if weight[i] == 0:
            continue
        j, hazard = group[i], weight[i] * np.exp(beta * x[i] - top)
        if event[i]:
            sums[j, 9] += weight[i]
            loglik += weight[i] * (beta * x[i] - top)
            gradient += weight[i] * x[i]
        for power in range(3):
            sums[j, power] += hazard
            if event[i]:
                sums[j, 3 + power] += hazard
            elif competing[i]:
                sums[j, 6 + power] += hazard / g_before[j]
            hazard *= x[i]
    for j in range(times - 2, -1, -1):
        for power in range(3):
            sums[j, power] += sums[j + 1, power]
    gone0, gone1, gone2 = 0.0, 0.0, 0.0
    for j in range(times):
        count = sums[j, 9]
        g = g_before[j]
        steps = int(round(count)) if efron else min(1, int(np.ceil(count)))
        for k in range(steps):
            share = k / count if efron else 0.0
            s0 = sums[j, 0] - share * sums[j, 3] + g * gone0
            mean = (sums[j, 1] - share * sums[j, 4] + g * gone1) / s0
            second = (sums[j, 2] - share * sums[j, 5] + g * gone2) / s0
            tied = 1.0 if efron else count
            loglik -= tied * np.log(s0)
            gradient -= tied * mean
            information += tied * (second - mean * mean)
        gone0 += sums[j, 6]
        gone1 += sums[j, 7]
        gone2 += sums[j, 8]
    return loglik, gradient, information


@numba.njit(
    "float64[::1](float64[::1], int64[::1], boolean[::1], boolean[::1], float64[:,::1], float64[:,::1], boolean)",
    cache=CACHE,
)
def drawn_slopes(x, group, event, competing, weight, g_before, efron):
    """Coefficient (D,) of one covariate x (n,) in the Cox or Fine-Gray model of each of D draws; NaN where infinite.

    group (n,): place of the row's time among the distinct times; weight (D, n): how often a draw holds each row. With
    `efron` ties a Cox model, d copies and ties of an event being d tied events. Else a Fine-Gray model with Breslow
    ties: who had the competing event stays at risk with weight g_before at the time over g_before at the own time,
    g_before (D, J) being the Kaplan-Meier curve of censoring just before each distinct time.
    """
    draws, n = weight.shape
    times = g_before.shape[1]
    slope = np.full(draws, np.nan)
    sums = np.empty((times, 10))
    for d in range(draws):
        own, g = weight[d], g_before[d]
        beta = 0.0
        loglik, gradient, information = slope_terms(beta, x, group, event, competing, own, g, efron, sums)
        for _ in range(MAX_STEPS):
            if not information > 1e-9:  # constant in every risk set
                break
            step, size = gradient / information, 1.0
            decrement = gradient * step
            new = slope_terms(beta + step, x, group, event, competing, own, g, efron, sums)
            while size > 1e-6 and not new[0] >= loglik - 1e-9 * (1 + abs(loglik)):
                size *= 0.5
                new = slope_terms(beta + size * step, x, group, event, competing, own, g, efron, sums)
            if size <= 1e-6:
                break
            beta += size * step
            loglik, gradient, information = new
            if decrement < 1e-12:
                if abs(step) < 1e-3:  # a longer one at a flat likelihood goes to infinity
                    slope[d] = beta
                break
    return slope
