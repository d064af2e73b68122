"""Accuracy of a yes/no test against a reference standard, and of two tests on the same patients.

Intervals of proportions and McNemar's test are statsmodels'; the intervals of a paired difference (Newcombe, Stat Med
1998;17:2635, method 10; Tango, Stat Med 1998;17:891) are written by hand, no kept library has them.

`truth`, `test` (n,) 0/1 or bool: diseased, positive. Intervals are 95%. What has no denominator is NaN.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from recur.statistics.estimate import Z95
from recur.statistics.roc import checked

EXACT_BELOW = 25  # discordant pairs
METRICS = ("sensitivity", "specificity", "accuracy", "ppv", "npv")
RATIOS = ("lr_positive", "lr_negative")


def two_by_two(truth: ArrayLike, test: ArrayLike) -> dict[str, int]:
    """dict(tp, fp, fn, tn). Raises ValueError for missing cells or others than 0 and 1."""
    truth, test = (column.astype(bool) for column in checked(truth, test))
    return {
        "tp": int((truth & test).sum()),
        "fp": int((~truth & test).sum()),
        "fn": int((truth & ~test).sum()),
        "tn": int((~truth & ~test).sum()),
    }


def proportion(x: int, n: int) -> dict:
    """dict(x, n, estimate, lower, upper by Wilson, lower_exact, upper_exact by Clopper-Pearson)."""
    names = ("estimate", "lower", "upper", "lower_exact", "upper_exact")
    if n == 0:
        return {"x": 0, "n": 0} | dict.fromkeys(names, np.nan)
    limits = *proportion_confint(x, n, method="wilson"), *proportion_confint(x, n, method="beta")
    # rounding may leave the Wilson limit of 0 or n a hair outside
    limits = np.clip(np.asarray(limits, float), 0.0, 1.0)
    return {"x": int(x), "n": int(n)} | dict(zip(names, [x / n, *map(float, limits)], strict=True))


def shares(tp: int, fp: int, fn: int, tn: int) -> dict[str, tuple[int, int]]:
    """Numerator and denominator of each of METRICS."""
    return {
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "accuracy": (tp + tn, tp + fp + fn + tn),
        "ppv": (tp, tp + fp),
        "npv": (tn, tn + fn),
    }


def accuracy(tp: int, fp: int, fn: int, tn: int) -> pd.DataFrame:
    """Rows METRICS and RATIOS: metric, x, n, estimate, lower, upper (Wilson), lower_exact, upper_exact.

    Predictive values hold at the prevalence of these patients only. Likelihood ratios have limits on the log scale and
    no exact ones.
    """
    rows = [{"metric": metric} | proportion(*share) for metric, share in shares(tp, fp, fn, tn).items()]
    diseased, healthy = tp + fn, fp + tn
    for metric, (x, y) in zip(RATIOS, ((tp, fp), (fn, tn)), strict=True):
        row = {"metric": metric, "x": np.nan, "n": tp + fp + fn + tn}
        if x and y:
            ratio = x / diseased / (y / healthy)
            se = np.sqrt(1 / x - 1 / diseased + 1 / y - 1 / healthy)
            row |= {"estimate": ratio, "lower": ratio * np.exp(-Z95 * se), "upper": ratio * np.exp(Z95 * se)}
        rows.append(row)
    return pd.DataFrame(rows)


def mcnemar_test(b: int, c: int) -> dict:
    """McNemar's test of b and c discordant pairs -> dict(b, c, statistic, p, method).

    Exact binomial below 25 discordant pairs, else chi-square with continuity correction (R mcnemar.test).
    """
    if b + c == 0:
        return {"b": 0, "c": 0, "statistic": np.nan, "p": 1.0, "method": "no discordant pairs"}
    exact = b + c < EXACT_BELOW
    result = mcnemar([[0, b], [c, 0]], exact=exact, correction=True)
    method = "McNemar, exact" if exact else "McNemar, continuity corrected"
    return {
        "b": int(b),
        "c": int(c),
        "statistic": np.nan if exact else float(result.statistic),
        "p": min(float(result.pvalue), 1.0),
        "method": method,
    }


def newcombe_difference(both: int, b: int, c: int, neither: int) -> dict:
    """p1 - p2 of paired proportions (both + b) / n and (both + c) / n -> dict(estimate, lower, upper).

    Wilson limits squared and added, with the correlation phi (continuity corrected where it is positive).
    """
    n = both + b + c + neither
    p1, p2 = (both + b) / n, (both + c) / n
    (l1, u1), (l2, u2) = (proportion_confint(x, n, method="wilson") for x in (both + b, both + c))
    margins = (both + b) * (c + neither) * (both + c) * (b + neither)
    product = both * neither - b * c
    product = max(product - n / 2, 0.0) if product > 0 else product
    phi = product / np.sqrt(margins) if margins else 0.0
    below = np.sqrt((p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2)
    above = np.sqrt((u1 - p1) ** 2 - 2 * phi * (u1 - p1) * (p2 - l2) + (p2 - l2) ** 2)
    return {"estimate": p1 - p2, "lower": float(p1 - p2 - below), "upper": float(p1 - p2 + above)}


def tango_difference(both: int, b: int, c: int, neither: int) -> dict:
    """As newcombe_difference, by Tango's score test: the differences that it does not refuse at 5%."""
    n = both + b + c + neither
    estimate = (b - c) / n

    def statistic(difference: float) -> float:
        first = -b - c + (2 * n - b + c) * difference
        root = np.sqrt(first**2 + 8 * n * c * difference * (1 - difference))
        p21 = (root - first) / (4 * n)
        variance = n * (2 * p21 + difference * (1 - difference))
        excess = b - c - n * difference
        if abs(excess) < 1e-12 * n:
            return 0.0
        return excess / np.sqrt(variance) if variance > 0 else np.copysign(np.inf, excess)

    limits = []
    for z, low, high in ((Z95, -1 + 1e-12, estimate), (-Z95, estimate, 1 - 1e-12)):
        ends = [statistic(low) - z, statistic(high) - z]
        outside = ends[0] * ends[1] > 0  # the score test refuses nothing on this side
        end = -np.sign(z)
        limits.append(end if outside or high <= low else brentq(lambda d, z=z: statistic(d) - z, low, high, xtol=1e-13))
    return {"estimate": estimate, "lower": float(limits[0]), "upper": float(limits[1])}


def compare_tests(truth: ArrayLike, test_a: ArrayLike, test_b: ArrayLike) -> pd.DataFrame:
    """Two tests on the same patients: rows sensitivity (diseased), specificity (non-diseased), accuracy (all).

    Columns metric, n, a, b (the two values), difference (a less b), lower, upper (Tango), lower_newcombe,
    upper_newcombe, only_a and only_b (pairs where one test alone is right), p, method.
    """
    truth, test_a, test_b = (column.astype(bool) for column in checked(truth, test_a, test_b))
    right_a, right_b = test_a == truth, test_b == truth
    rows = []
    for metric, part in (("sensitivity", truth), ("specificity", ~truth), ("accuracy", np.ones(len(truth), bool))):
        n, a, b = int(part.sum()), right_a[part], right_b[part]
        row = {"metric": metric, "n": n}
        if n:
            cells = [int(x.sum()) for x in (a & b, a & ~b, ~a & b, ~a & ~b)]
            tango, newcombe, test = tango_difference(*cells), newcombe_difference(*cells), mcnemar_test(*cells[1:3])
            row |= {
                "a": a.mean(),
                "b": b.mean(),
                "difference": tango["estimate"],
                "lower": tango["lower"],
                "upper": tango["upper"],
                "lower_newcombe": newcombe["lower"],
                "upper_newcombe": newcombe["upper"],
                "only_a": cells[1],
                "only_b": cells[2],
                "p": test["p"],
                "method": test["method"],
            }
        rows.append(row)
    return pd.DataFrame(rows)


def clustered_accuracy(
    cluster: ArrayLike, truth: ArrayLike, test: ArrayLike, seed: int, resamples: int = 2000
) -> pd.DataFrame:
    """METRICS of several units (lesions) of a patient: metric, x, n, estimate, lower, upper.

    Percentile bootstrap over whole clusters (n,); resample i is drawn from (seed, i). Resamples without a denominator
    are left out.
    """
    truth, test = (column.astype(bool) for column in checked(truth, test))
    names, index = np.unique(np.asarray(cluster), return_inverse=True)
    # cells of each cluster, so that a resample is a sum of rows
    kinds = np.column_stack([truth & test, ~truth & test, truth & ~test, ~truth & ~test]).astype(float)
    cells = np.zeros((len(names), 4))
    np.add.at(cells, index, kinds)
    totals = np.array(
        [cells[np.random.default_rng([seed, i]).integers(0, len(names), len(names))].sum(0) for i in range(resamples)]
    )
    drawn, rows = shares(*totals.T), []
    for metric, (x, n) in shares(*cells.sum(axis=0)).items():
        above, below = drawn[metric]
        values = above[below > 0] / below[below > 0]
        lower, upper = np.quantile(values, [0.025, 0.975]) if len(values) else (np.nan, np.nan)
        estimate = x / n if n else np.nan
        rows.append({"metric": metric, "x": x, "n": n, "estimate": estimate, "lower": lower, "upper": upper})
    return pd.DataFrame(rows)
