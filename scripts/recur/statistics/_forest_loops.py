"""Compiled loops of a survival forest, and of the concordance that its importance is measured in.

Every function has one fixed signature and is compiled, or read from NUMBA_CACHE_DIR, on import; without that folder
nothing is kept. A module of loops calls those of no other: numba notices edits of the one file only. Everywhere rows
stand in ascending time, events before censored rows of the same time, and x is (p, n), one row a feature.
"""

from __future__ import annotations

import os

import numba
import numpy as np

CACHE = "NUMBA_CACHE_DIR" in os.environ
SMALLEST_VARIANCE = 1e-9  # of a log-rank statistic: below it a split separates nothing but rounding


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
