"""Compiled loops of the model floors: trees of a survival forest, and the elastic-net Cox and logistic paths.

Called by recur.fit.ranking and the lasso modules, which import this module only where they need it: every function has
one fixed signature and is compiled (or read from NUMBA_CACHE_DIR) on import. Without NUMBA_CACHE_DIR nothing is kept.
Everywhere rows stand in ascending time, events before censored rows of the same time, and x is (p, n), one row a
feature.
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
SMALLEST_VARIANCE = 1e-9  # of a log-rank statistic: below it a split separates nothing but rounding

# ---------------------------------------------------------------- random survival forest


@numba.njit(
    "int64(float64[:,::1], int32[:,::1], int64[::1], boolean[::1], float64[::1], int64[::1], int64, int64, int64[::1],"
    " int64[::1], float64[::1], int64[:,::1], float64[::1])",
    cache=CACHE,
)
def grow_tree(x, order, moment, event, remaining, rows, tried, min_leaf, pool, feature, threshold, child, risk):
    """One log-rank survival tree on `rows` (ascending, distinct); the number of its nodes.

    order (p, n): rows by rising value of each feature. moment (n,): index of the row's time among the distinct times.
    remaining: event times of the whole data from each distinct time on. tried: features tried a node, drawn from
    `pool` (a permutation of all, reordered here) with numba's generator; one that is constant in the node does not
    count. Filled in place, per node: feature (-1 in a leaf), threshold (left is <=), child (left, right), risk (the
    Nelson-Aalen cumulative hazard summed over all event times). `rows` is reordered.

    The log-rank statistic of the first k rows by value follows from that of the first k - 1: with Y at risk and d
    events, variance sum_e c_e L_e (Y_e - L_e) with c_e = d_e (Y_e - d_e) / (Y_e^2 (Y_e - 1)), one more row on the left
    raises L_e by one at all event times up to its own.
    """
    p, n = x.shape
    mask = np.zeros(n, np.bool_)
    sorted_rows, other = np.empty(n, np.int64), np.empty(n, np.int64)
    reach = np.empty(n, np.int64)  # event times of the node up to the row's own
    score = np.empty(n)  # event less cumulative hazard: the row's part of the numerator
    c, cy, left_sum = np.empty(n + 1), np.empty(n + 1), np.empty(n + 1)
    stack = np.empty((n + 1, 3), np.int64)
    stack[0, 0], stack[0, 1], stack[0, 2] = 0, rows.size, 0
    height, nodes = 1, 1
    while height > 0:
        height -= 1
        low, high, node = stack[height]
        size = high - low
        times, hazard, total = 0, 0.0, 0.0
        c[0] = cy[0] = 0.0
        k = low
        while k < high:
            now, at_risk, deaths = moment[rows[k]], float(high - k), 0.0
            end = k
            while end < high and moment[rows[end]] == now:
                deaths += event[rows[end]]
                end += 1
            if deaths > 0:
                times += 1
                hazard += deaths / at_risk
                total += deaths / at_risk * remaining[now]
                part = 0.0
                if at_risk > 1:
                    part = deaths * (at_risk - deaths) / (at_risk * at_risk * (at_risk - 1))
                c[times] = c[times - 1] + part
                cy[times] = cy[times - 1] + part * at_risk
            for i in range(k, end):
                reach[rows[i]] = times
                score[rows[i]] = event[rows[i]] - hazard
            k = end
        risk[node] = total
        feature[node] = -1
        if size < 2 * min_leaf or c[times] == 0.0:
            continue
        for i in range(low, high):
            mask[rows[i]] = True
        best, best_feature, best_threshold = 0.0, -1, 0.0
        visited, drawn = 0, 0
        while visited < tried and drawn < p:
            at = drawn + np.random.randint(0, p - drawn)
            f = pool[at]
            pool[at] = pool[drawn]
            pool[drawn] = f
            drawn += 1
            values, by_value = x[f], order[f]
            filled = 0
            for i in range(n):
                sorted_rows[filled] = by_value[i]
                filled += mask[by_value[i]]
                if filled == size:
                    break
            if not values[sorted_rows[0]] < values[sorted_rows[size - 1]]:
                continue
            visited += 1
            left_sum[: times + 1] = 0.0
            numerator, variance = 0.0, 0.0
            for i in range(size - min_leaf):
                row = sorted_rows[i]
                last = reach[row]
                numerator += score[row]
                variance += cy[last] - c[last] - 2.0 * left_sum[last]
                for e in range(last + 1):
                    left_sum[e] += c[e]
                for e in range(last + 1, times + 1):
                    left_sum[e] += c[last]
                if i + 1 >= min_leaf and values[row] < values[sorted_rows[i + 1]] and variance > SMALLEST_VARIANCE:
                    statistic = numerator * numerator / variance
                    if statistic > best:
                        best, best_feature = statistic, f
                        best_threshold = values[row] / 2 + values[sorted_rows[i + 1]] / 2
                        if not best_threshold < values[sorted_rows[i + 1]]:
                            best_threshold = values[row]
        for i in range(low, high):
            mask[rows[i]] = False
        if best_feature < 0:
            continue
        lefts, rights = low, 0
        for i in range(low, high):
            row = rows[i]
            if x[best_feature, row] <= best_threshold:
                rows[lefts] = row
                lefts += 1
            else:
                other[rights] = row
                rights += 1
        rows[lefts:high] = other[:rights]
        feature[node], threshold[node] = best_feature, best_threshold
        child[node, 0], child[node, 1] = nodes, nodes + 1
        stack[height, 0], stack[height, 1], stack[height, 2] = lefts, high, nodes + 1
        stack[height + 1, 0], stack[height + 1, 1], stack[height + 1, 2] = low, lefts, nodes
        height += 2
        nodes += 2
    return nodes


@numba.njit("int64(float64[::1], int64[::1], int64)", cache=CACHE)
def concordance_balance(risk, after, size):
    """Concordant less discordant pairs of the first `size` risks; after[i]: first partner of row i (size if none)."""
    balance = 0
    for i in range(size):
        own, others, sum_of_signs = risk[i], risk[after[i] : size], np.int32(0)
        for j in range(others.size):  # 32-bit sums run several pairs at once
            sum_of_signs += np.int32(own > others[j]) - np.int32(own < others[j])
        balance += sum_of_signs
    return balance


@numba.njit("void(float64[:,::1], int64[::1], int64[::1])", cache=CACHE)
def concordance_balances(x, after, balance):
    """concordance_balance of every feature of x, into balance (p,)."""
    for f in range(x.shape[0]):
        balance[f] = concordance_balance(x[f], after, x.shape[1])


@numba.njit(
    "void(float64[:,::1], int32[:,::1], int64[::1], boolean[::1], float64[::1], int64, int64, int64, uint32[::1],"
    " float64[::1])",
    cache=CACHE,
)
def add_importance(x, order, moment, event, remaining, tried, min_leaf, permutations, seeds, importance):
    """Grow a tree per seed and add each feature's loss of out-of-bag concordance when permuted to importance (p,).

    Every tree has its own bootstrap of the rows and its own seed, so trees may be shared out in any way.
    """
    p, n = x.shape
    bag, rows, out = np.zeros(n, np.bool_), np.empty(n, np.int64), np.empty(n, np.int64)
    feature, threshold = np.empty(2 * n + 1, np.int64), np.empty(2 * n + 1)
    child, risk = np.empty((2 * n + 1, 2), np.int64), np.empty(2 * n + 1)
    after, scores, shuffled = np.empty(n, np.int64), np.empty(n), np.empty(n, np.int64)
    pool, seen = np.arange(p), np.zeros(p, np.bool_)
    for seed in seeds:
        np.random.seed(seed)
        bag[:] = False
        for _ in range(n):
            bag[np.random.randint(0, n)] = True
        pool[:] = np.arange(p)
        inside, held = 0, 0
        for row in range(n):
            if bag[row]:
                rows[inside] = row
                inside += 1
            else:
                out[held] = row
                held += 1
        nodes = grow_tree(
            x, order, moment, event, remaining, rows[:inside], tried, min_leaf, pool, feature, threshold, child, risk
        )
        pairs = 0
        for i in range(held):
            after[i] = held
            if event[out[i]]:
                j = i + 1
                while j < held and event[out[j]] and moment[out[j]] == moment[out[i]]:
                    j += 1
                after[i] = j
                pairs += held - j
        if pairs == 0:
            continue
        seen[:] = False
        for top in range(-1, nodes):
            f = -1
            if top >= 0:
                f = feature[top]
                if f < 0 or seen[f]:
                    continue
                seen[f] = True
            repeats = 1 if f < 0 else permutations
            for _ in range(repeats):
                shuffled[:held] = out[:held]
                if f >= 0:
                    for i in range(held - 1, 0, -1):
                        j = np.random.randint(0, i + 1)
                        row = shuffled[i]
                        shuffled[i] = shuffled[j]
                        shuffled[j] = row
                for i in range(held):
                    node = 0
                    while feature[node] >= 0:
                        row = shuffled[i] if feature[node] == f else out[i]
                        node = child[node, 0] if x[feature[node], row] <= threshold[node] else child[node, 1]
                    scores[i] = risk[node]
                balance = concordance_balance(scores, after, held)
                if f < 0:
                    base = balance
                else:
                    importance[f] += (base - balance) / (2.0 * pairs * permutations)


# ---------------------------------------------------------------- elastic-net paths of Cox and logistic models


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


# ---------------------------------------------------------------- calibration slopes of bootstrap draws


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
