"""Compiled loops of the elastic-net path of Cox and logistic regression.

Compiled on import and kept as in recur.statistics._forest_loops, with the same order of rows.
"""

from __future__ import annotations

import os

import numba
import numpy as np

CACHE = "NUMBA_CACHE_DIR" in os.environ
MAX_STEPS = 100  # Newton steps at one penalty
MAX_SWEEPS = 500  # of coordinate descent inside one Newton step
SWEEPS_BEFORE_SOLVING = 15  # then the active coefficients are solved for directly
LONGEST_STEP = 5.0  # of a linear predictor in one Newton step; longer ones are shortened


@numba.njit(
    "float64(float64[::1], int64[::1], int64[::1], float64[::1], int64[::1], float64[::1], boolean[::1], float64[::1],"
    " float64[::1], float64[::1], float64[::1])",
    cache=CACHE,
)
def cox_terms(eta, start, upto, deaths, tied, taken, event, weight, hazard, at_risk, residual):
    """Log partial likelihood / n at linear predictors eta (n,); fills what its derivatives need.

    start (J,): first row of each risk set; upto (n,): risk sets up to the row's time; deaths (J,): events of each;
    taken (J,): the part of its first `tied` rows that is taken off a risk set, 0 for Breslow's ties (a risk set a
    time), l / d for the l-th of d events at a time (Efron's). Filled: weight (n,) exp(eta), scaled; hazard (n,) weight
    times cumulative baseline hazard; at_risk (J,) sums of weight over the risk sets; residual (n,) martingale residuals
    / n, the gradient with respect to eta.
    """
    n, times = eta.size, start.size
    top = eta.max()
    loglik = 0.0
    for i in range(n):
        weight[i] = np.exp(eta[i] - top)
        if event[i]:
            loglik += eta[i] - top
    total, row = 0.0, n
    for j in range(times - 1, -1, -1):
        while row > start[j]:
            row -= 1
            total += weight[row]
        at_risk[j] = total
        if taken[j] > 0.0:
            for i in range(start[j], start[j] + tied[j]):
                at_risk[j] -= taken[j] * weight[i]
        loglik -= deaths[j] * np.log(at_risk[j])
    cumulative, j = 0.0, 0
    for i in range(n):
        while j < upto[i]:
            cumulative += deaths[j] / at_risk[j]
            j += 1
        hazard[i] = weight[i] * cumulative
    for j in range(times):
        if taken[j] > 0.0:
            for i in range(start[j], start[j] + tied[j]):
                hazard[i] -= weight[i] * taken[j] * deaths[j] / at_risk[j]
    for i in range(n):
        residual[i] = (event[i] - hazard[i]) / n
    return loglik / n


@numba.njit(
    "float64(float64[::1], boolean[::1], float64[::1], float64[::1], float64[::1], float64[::1], float64[::1],"
    " float64[::1])",
    cache=CACHE,
)
def logistic_terms(eta, event, case, weight, hazard, at_risk, deaths, residual):
    """Logistic log-likelihood / n at linear predictors eta (n,) with its best intercept; fills as cox_terms does.

    case (n,): the rows' own weights, of sum n. The intercept carries no penalty and is profiled out: the information
    then has the form of a single risk set in which rows weigh case p (1 - p), so weight and hazard hold that, at_risk
    (1,) and deaths (1,) its sum.
    """
    n, events = eta.size, 0.0
    for i in range(n):
        events += case[i] * event[i]
    intercept = np.log(events / (n - events)) - eta.mean()
    for _ in range(MAX_STEPS):
        slope, information = events, 0.0
        for i in range(n):
            risk = 1 / (1 + np.exp(-(eta[i] + intercept)))
            slope -= case[i] * risk
            information += case[i] * risk * (1 - risk)
        step = slope / max(information, 1e-12)
        intercept += max(-1.0, min(1.0, step))
        if abs(step) < 1e-13 * (1 + abs(intercept)):
            break
    loglik, total = 0.0, 0.0
    for i in range(n):
        value = eta[i] + intercept
        risk = 1 / (1 + np.exp(-value))
        # log(1 + exp(v)), safe for large |v|
        loglik += case[i] * (event[i] * value - max(value, 0.0) - np.log1p(np.exp(-abs(value))))
        weight[i] = hazard[i] = case[i] * risk * (1 - risk)
        total += weight[i]
        residual[i] = case[i] * (event[i] - risk) / n
    at_risk[0] = deaths[0] = total
    return loglik / n


@numba.njit("boolean(float64[:,::1], float64[::1], int64)", cache=CACHE)
def solve_in_place(a, b, size):
    """Solve a b' = b for symmetric positive definite a[:size, :size] by Cholesky, b' into b; False when it is not."""
    least = np.empty(size)
    for k in range(size):
        least[k] = 1e-12 * a[k, k]
    for k in range(size):
        pivot = a[k, k]
        if not pivot > least[k]:
            return False
        source = a[k, k:size]
        for i in range(k + 1, size):
            factor = a[k, i] / pivot
            row = a[i, i:size]
            part = source[i - k :]
            for j in range(row.size):
                row[j] -= factor * part[j]
            b[i] -= factor * b[k]
    for k in range(size - 1, -1, -1):
        value = b[k]
        for j in range(k + 1, size):
            value -= a[k, j] * b[j]
        b[k] = value / a[k, k]
    return True


@numba.njit("float64(float64, float64)", cache=CACHE)
def soft(value, limit):
    """Soft threshold."""
    if value > limit:
        return value - limit
    if value < -limit:
        return value + limit
    return 0.0


@numba.njit("float64(float64, float64, float64, float64)", cache=CACHE)
def violation(gradient, coefficient, lasso, ridge):
    """How far one coordinate is from its Karush-Kuhn-Tucker condition."""
    slope = gradient - ridge * coefficient
    if coefficient > 0:
        return abs(slope - lasso)
    if coefficient < 0:
        return abs(slope + lasso)
    return max(abs(slope) - lasso, 0.0)


@numba.njit("void(float64[:,::1], float64[::1], float64[::1], float64, float64, float64)", cache=CACHE)
def solve_quadratic(information, gradient, beta, lasso, ridge, tolerance):
    """Minimise the penalised quadratic model around beta (k,), in place, until no coordinate violates by `tolerance`.

    gradient (k,) of the log-likelihood at the incoming beta becomes that of the model at the outgoing one. Coordinate
    descent finds the signs; with these given the nonzero coefficients solve a linear system, which spares the many
    sweeps of nearly collinear features.
    """
    k = beta.size
    work, right, active = np.empty((k, k)), np.empty(k), np.empty(k, np.int64)
    for sweep in range(MAX_SWEEPS):
        worst = 0.0
        for j in range(k):
            diagonal = information[j, j]
            miss = violation(gradient[j], beta[j], lasso, ridge)
            worst = max(worst, miss)
            if miss == 0.0 or diagonal + ridge <= 0.0:
                continue
            new = soft(gradient[j] + diagonal * beta[j], lasso) / (diagonal + ridge)
            step = new - beta[j]
            beta[j] = new
            row = information[j]
            for i in range(k):
                gradient[i] -= step * row[i]
        if worst <= tolerance:
            return
        if sweep % SWEEPS_BEFORE_SOLVING != SWEEPS_BEFORE_SOLVING - 1:
            continue
        size = 0
        for j in range(k):
            if beta[j] != 0.0:
                active[size] = j
                size += 1
        for a in range(size):
            j = active[a]
            sign = 1.0 if beta[j] > 0 else -1.0
            right[a] = gradient[j] - ridge * beta[j] - lasso * sign
            for b in range(size):
                work[a, b] = information[j, active[b]]
            work[a, a] += ridge
        if not solve_in_place(work, right, size):
            continue
        share = 1.0
        for a in range(size):
            j = active[a]
            if beta[j] * (beta[j] + right[a]) < 0.0:
                share = min(share, -beta[j] / right[a])
        for a in range(size):
            j = active[a]
            step = share * right[a]
            if beta[j] * (beta[j] + step) <= 0.0 or abs(beta[j] + step) < 1e-14 * abs(beta[j]):
                step = -beta[j]
                beta[j] = 0.0
            else:
                beta[j] += step
            row = information[j]
            for i in range(k):
                gradient[i] -= step * row[i]


@numba.njit(
    "void(float64[:,::1], int64[::1], int64[::1], float64[::1], int64[::1], float64[::1], boolean[::1], float64,"
    " float64[::1], float64, float64[:,::1], float64[::1], float64[::1])",
    cache=CACHE,
)
def elastic_net_path(x, start, upto, deaths, tied, taken, event, l1_ratio, lambdas, tolerance, coef, missed, case):
    """Elastic-net Cox coefficients (len(lambdas), p), into coef, along decreasing penalties.

    With `case` (n,), the weights of the rows, of sum n, those of a logistic model instead: start is [0], upto is not
    looked at, deaths (1,) is filled. Empty for a Cox model, whose rows all weigh 1.

    Newton steps on the coefficients that the sequential strong rule lets in (Tibshirani et al. 2012), each a penalised
    quadratic with the exact information matrix; then the Karush-Kuhn-Tucker conditions of all features are checked
    and violators let in. missed (len(lambdas),): largest violation left, as a share of the lasso penalty.
    """
    p, n = x.shape
    times, logistic = start.size, case.size > 0
    beta, eta, eta_new = np.zeros(p), np.zeros(n), np.zeros(n)
    weight, hazard, at_risk, residual = np.empty(n), np.empty(n), np.empty(times), np.empty(n)
    if logistic:
        loglik = logistic_terms(eta, event, case, weight, hazard, at_risk, deaths, residual)
    else:
        loglik = cox_terms(eta, start, upto, deaths, tied, taken, event, weight, hazard, at_risk, residual)
    gradient = np.dot(x, residual)
    inside = np.zeros(p, np.bool_)
    before = lambdas[0]
    for step in range(lambdas.size):
        lasso, ridge = l1_ratio * lambdas[step], (1 - l1_ratio) * lambdas[step]
        bound = l1_ratio * (2 * lambdas[step] - before)
        for j in range(p):
            inside[j] = beta[j] != 0.0 or abs(gradient[j]) >= bound
        before = lambdas[step]
        limit = tolerance * lasso
        worst = np.inf
        for _ in range(MAX_STEPS):
            chosen = np.flatnonzero(inside)
            k = chosen.size
            worst = 0.0
            for a in range(k):
                worst = max(worst, violation(gradient[chosen[a]], beta[chosen[a]], lasso, ridge))
            if worst <= limit:  # solved on these: do the others agree?
                more = False
                for j in range(p):
                    if not inside[j]:
                        miss = violation(gradient[j], 0.0, lasso, ridge)
                        worst = max(worst, miss)
                        if miss > limit:
                            inside[j] = True
                            more = True
                if not more:
                    break
                continue
            z, scaled = np.empty((k, n)), np.empty((k, n))
            mean, part = np.empty((k, times)), np.empty((k, times))
            for a in range(k):
                source = x[chosen[a]]
                for i in range(n):
                    z[a, i] = source[i]
                    scaled[a, i] = source[i] * hazard[i]
                total, row = 0.0, n
                for j in range(times - 1, -1, -1):
                    while row > start[j]:
                        row -= 1
                        total += weight[row] * source[row]
                    own = 0.0
                    if taken[j] > 0.0:
                        for i in range(start[j], start[j] + tied[j]):
                            own += taken[j] * weight[i] * source[i]
                    mean[a, j] = (total - own) / at_risk[j]
                    part[a, j] = mean[a, j] * deaths[j]
            information = (np.dot(scaled, z.T) - np.dot(part, mean.T)) / n
            now, slope = np.empty(k), np.empty(k)
            for a in range(k):
                now[a], slope[a] = beta[chosen[a]], gradient[chosen[a]]
            solve_quadratic(information, slope, now, lasso, ridge, max(0.02 * worst, 0.2 * limit))
            move = np.zeros(n)
            old_penalty, new_penalty, directional = 0.0, 0.0, 0.0
            for a in range(k):
                old = beta[chosen[a]]
                change = now[a] - old
                old_penalty += lasso * abs(old) + 0.5 * ridge * old * old
                new_penalty += lasso * abs(now[a]) + 0.5 * ridge * now[a] * now[a]
                directional += gradient[chosen[a]] * change
                if change != 0.0:
                    for i in range(n):
                        move[i] += change * z[a, i]
            decrease = directional - (new_penalty - old_penalty)  # to first order, of a convex function: positive
            share = min(1.0, LONGEST_STEP / max(np.abs(move).max(), 1e-300))
            while True:
                for i in range(n):
                    eta_new[i] = eta[i] + share * move[i]
                if logistic:
                    new = logistic_terms(eta_new, event, case, weight, hazard, at_risk, deaths, residual)
                else:
                    new = cox_terms(eta_new, start, upto, deaths, tied, taken, event, weight, hazard, at_risk, residual)
                penalty = 0.0
                for a in range(k):
                    value = beta[chosen[a]] + share * (now[a] - beta[chosen[a]])
                    penalty += lasso * abs(value) + 0.5 * ridge * value * value
                gain = (new - penalty) - (loglik - old_penalty)
                if gain >= 1e-4 * share * decrease - 1e-14 * (1 + abs(loglik)) or share < 1e-8:
                    break
                share *= 0.5
            for a in range(k):
                old = beta[chosen[a]]
                beta[chosen[a]] = now[a] if share == 1.0 else old + share * (now[a] - old)
            eta[:] = eta_new
            loglik = new
            gradient = np.dot(x, residual)
        coef[step] = beta
        missed[step] = worst / lasso
