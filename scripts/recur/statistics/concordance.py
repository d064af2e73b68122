"""Concordance of a score where higher means worse with an outcome in time.

Written by hand: scikit-survival gives no standard errors, and takes the censoring survival at t instead of just before
it. Conventions are R's survival::concordance and survcomp; checked against the first, formulas of the second are from
its source. `c_index` and `somers_d` are Harrell's C without an error, for the inner loops of ranking and resampling.

Everywhere: `time` (n,), `event` (n,) 0/1 or bool, `score` (n,); estimates as in recur.statistics.estimate.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, spearmanr, t

from recur.compiled import compiling
from recur.statistics.cox import fit_cox
from recur.statistics.estimate import (
    MIN_AT_RISK,
    Z95,
    NotEstimable,
    blank,
    checked_arrays,
    interval,
    z_test,
)
from recur.statistics.ipcw import before, censoring_survival
from recur.statistics.time_roc import weighted_auc

BLOCK = 2**21  # pairs held in memory at once


@cache
def _loops() -> ModuleType:
    with compiling():
        from recur.statistics import _forest_loops
    return _forest_loops


def blocks(rows: np.ndarray, n: int) -> Iterator[np.ndarray]:
    """The rows in parts whose pairs with n others stay small enough for memory."""
    size = max(1, BLOCK // max(n, 1))
    for i in range(0, len(rows), size):
        yield rows[i : i + size]


def _pairs(time, event, score, weight) -> tuple[np.ndarray, np.ndarray]:
    """Per patient, over the comparable pairs it belongs to: weighted (concordant + ties / 2), and weight.

    The earlier member of a pair had the event and gives the weight; a censoring at the same time counts as later.
    """
    n = len(time)
    agree, total = np.zeros(n), np.zeros(n)
    for rows in blocks(np.flatnonzero(event & (weight > 0)), n):
        later = (time > time[rows, None]) | ((time == time[rows, None]) & ~event)
        kind = (later * (1.0 + np.sign(score[rows, None] - score))) / 2
        w = weight[rows]
        agree[rows] += w * kind.sum(axis=1)
        total[rows] += w * later.sum(axis=1)
        agree += w @ kind
        total += w @ later
    return agree, total


def _concordance(time, event, score, weight) -> tuple[float, np.ndarray]:
    """Concordance and its infinitesimal-jackknife influence (n,): the se is sqrt(sum(influence^2))."""
    agree, total = _pairs(time, event, score, weight)
    pairs = total.sum() / 2
    if pairs == 0:
        return np.nan, np.full(len(time), np.nan)
    c = agree.sum() / 2 / pairs
    return float(c), (agree - c * total) / pairs


def _no_concordance(event: np.ndarray, *scores: np.ndarray) -> str:
    if not event.any():
        return "no events"
    if any(s.size and s.min() == s.max() for s in scores):
        return "all scores are equal"
    return ""


def harrell_c(time: ArrayLike, event: ArrayLike, score: ArrayLike) -> dict:
    """Harrell's C, ties in score counted 1/2, with the infinitesimal-jackknife se (R survival::c_index).

    When all scores are equal the estimate is 0.5 with no interval.
    """
    time, event, score = checked_arrays(time, event, score)
    return _c(time, event, score, np.ones(len(time)))


def uno_c(time: ArrayLike, event: ArrayLike, score: ArrayLike, tau: float) -> dict:
    """Uno's C: events up to and including `tau`, weighted by 1 / G(t-)^2 (R c_index, timewt "n/G2", ymax).

    G is estimated on these rows; its uncertainty is not in the se, as in R. Blank when fewer than 10 patients are
    followed to tau.
    """
    time, event, score = checked_arrays(time, event, score)
    if (time >= tau).sum() < MIN_AT_RISK:
        return blank(f"fewer than {MIN_AT_RISK} patients at risk at {tau:g}")
    times, g = censoring_survival(time, event)
    g = before(times, g, time)
    weight = np.where((time <= tau) & (g > 0), 1 / np.maximum(g, 1e-12) ** 2, 0.0)
    return _c(time, event & (time <= tau), score, weight, event)


def _c(time, event, score, weight, any_event=None) -> dict:
    reason = _no_concordance(event, score)
    if reason:
        return blank(reason) | ({"estimate": 0.5} if event.any() else {})
    # an event after tau is no event of a pair, but at the same time as one it is still not "later"
    weight = np.where(event, weight, 0.0)
    c, influence = _concordance(time, event if any_event is None else any_event, score, weight)
    if np.isnan(c):
        return blank("no comparable pairs")
    return interval(c, np.sqrt((influence**2).sum()))


def c_difference(time: ArrayLike, event: ArrayLike, score_a: ArrayLike, score_b: ArrayLike) -> dict:
    """Harrell's C of `score_a` less that of `score_b` on the same patients, two-sided (R c_index(fit1, fit2)).

    dict(estimate, se, lower, upper, z, p, reason); variance sum((influence_a - influence_b)^2).
    """
    time, event, score_a, score_b = checked_arrays(time, event, score_a, score_b)
    nothing = dict.fromkeys(("estimate", "se", "lower", "upper", "z", "p"), np.nan)
    if not event.any():
        return nothing | {"reason": "no events"}
    (a, influence_a), (b, influence_b) = (_concordance(time, event, s, np.ones(len(time))) for s in (score_a, score_b))
    se = float(np.sqrt(((influence_a - influence_b) ** 2).sum()))
    difference = a - b
    if np.isnan(difference):
        return nothing | {"reason": "no comparable pairs"}
    if se <= 1e-12:
        return nothing | {"estimate": difference, "se": 0.0, "reason": "the two scores rank every pair alike"}
    return z_test(difference, se)


def gamma_c(time: ArrayLike, event: ArrayLike, score: ArrayLike) -> dict:
    """C with pairs tied in score dropped and Noether's se: survcomp c_index.index(outx = TRUE, method = "noether").

    Equal follow-up times make no pair here, even an event and a censoring.
    """
    time, event, score = checked_arrays(time, event, score)
    reason = _no_concordance(event, score)
    if reason:
        return blank(reason)
    n = len(time)
    concordant, discordant = np.zeros(n), np.zeros(n)
    for rows in blocks(np.flatnonzero(event), n):
        later = time > time[rows, None]
        higher, lower = later & (score[rows, None] > score), later & (score[rows, None] < score)
        for count, kind in ((concordant, higher), (discordant, lower)):
            count[rows] += kind.sum(axis=1)
            count += kind.sum(axis=0)
    if concordant.sum() + discordant.sum() == 0:
        return blank("no comparable pairs")
    pairs, triples = n * (n - 1.0), n * (n - 1.0) * max(n - 2.0, 1.0)
    pc, pd_ = concordant.sum() / pairs, discordant.sum() / pairs
    pcc = (concordant * (concordant - 1)).sum() / triples
    pdd = (discordant * (discordant - 1)).sum() / triples
    pcd = (concordant * discordant).sum() / triples
    variance = 4 / (pc + pd_) ** 4 * (pd_**2 * pcc - 2 * pc * pd_ * pcd + pc**2 * pdd)
    estimate = pc / (pc + pd_)
    if not variance > 0:
        return blank("the variance is not positive") | {"estimate": estimate}
    return interval(estimate, np.sqrt(variance / n))


def royston_d(time: ArrayLike, event: ArrayLike, score: ArrayLike) -> dict:
    """Royston & Sauerbrei's D (Stat Med 2004): log hazard ratio between halves at equal distance in the score.

    Coefficient of the scores' normal order statistics (Blom, averaged over ties) / sqrt(8 / pi) in a Cox model, as R
    survival::royston; with `r2`, the explained variation of D.
    """
    time, event, score = checked_arrays(time, event, score)
    n = len(score)
    _, index, count = np.unique(score, return_inverse=True, return_counts=True)
    blom = norm.ppf((np.arange(1, n + 1) - 0.375) / (n + 0.25)) / np.sqrt(8 / np.pi)
    last = np.cumsum(count)
    total = np.concatenate([[0.0], np.cumsum(blom)])
    z = ((total[last] - total[last - count]) / count)[index]
    try:
        fitted = fit_cox(z, time, event)
    except NotEstimable as reason:
        return blank(str(reason)) | {"r2": np.nan}
    d, se = float(fitted["coef"][0]), float(fitted["se"][0])
    r2 = d**2 * np.pi / 8 / (np.pi**2 / 6 + d**2 * np.pi / 8)
    return {"estimate": d, "se": se, "lower": d - Z95 * se, "upper": d + Z95 * se, "reason": "", "r2": r2}


def legacy_c_difference(time: ArrayLike, event: ArrayLike, score_a: ArrayLike, score_b: ArrayLike) -> dict:
    """One-sided paired test that gamma_c of `score_a` exceeds that of `score_b`: survcomp cindex.comp.

    t = (Ca - Cb) / sqrt(se_a^2 + se_b^2 - 2 r se_a se_b) with r the Spearman correlation of the scores, n - 1 df.
    Only for comparison with papers that used it. dict(estimate, se, t, df, p, reason).
    """
    time, event, score_a, score_b = checked_arrays(time, event, score_a, score_b)
    a, b = gamma_c(time, event, score_a), gamma_c(time, event, score_b)
    df = len(time) - 1
    nothing = {"estimate": a["estimate"] - b["estimate"], "se": np.nan, "t": np.nan, "df": df, "p": np.nan}
    if np.isnan(a["se"]) or np.isnan(b["se"]):
        return nothing | {"reason": a["reason"] or b["reason"]}
    r = float(spearmanr(score_a, score_b).statistic)
    variance = a["se"] ** 2 + b["se"] ** 2 - 2 * r * a["se"] * b["se"]
    if not variance > 1e-15:
        return nothing | {"reason": "the two scores are the same ranking"}
    se = float(np.sqrt(variance))
    statistic = nothing["estimate"] / se
    return nothing | {"se": se, "t": statistic, "p": float(t.sf(statistic, df)), "reason": ""}


def comparable_pairs(time: np.ndarray, event: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Boolean (len(rows), n): the row had the event before column j's time (or at it, j being censored)."""
    later = (time[rows, None] < time) | ((time[rows, None] == time) & ~event)
    return later & event[rows, None]


def c_index(score: np.ndarray, time: np.ndarray, event: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Harrell's C, ties in the score one half; NaN without a usable pair."""
    if weight is not None:
        case, control = weight * event, weight * (1 - event)
        return weighted_auc(case, control, score)[0] if case.any() and control.any() else np.nan
    balance, pairs = concordance_balances(score[:, None], time, event)
    return (pairs + int(balance[0])) / 2 / pairs if pairs else np.nan


def doubled_ranks(features: np.ndarray) -> np.ndarray:
    """Ranks of every column (n, p), averaged over ties and doubled: integers, so comparisons and sums are exact."""
    n, x = len(features), np.ascontiguousarray(features.T)
    order = np.argsort(x, axis=1)
    ordered = np.take_along_axis(x, order, axis=1)
    new = np.ones(x.shape, bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.maximum.accumulate(np.where(new, np.arange(n), 0), axis=1)
    last = np.ones(x.shape, bool)
    last[:, :-1] = new[:, 1:]
    last = np.minimum.accumulate(np.where(last, np.arange(n), n)[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(x.shape, np.int32)
    np.put_along_axis(ranks, order, (first + last + 2).astype(np.int32), axis=1)
    return ranks.T


def somers_d(features: np.ndarray, time: np.ndarray, event: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Somers' D = 2 (C - 0.5) of every column with the outcome, shape (p,); ties in a feature count half in C.

    Ranks serve as well as values.
    """
    if weight is not None:
        return np.array([2 * c_index(column, time, event, weight) - 1 for column in features.T])
    balance, pairs = concordance_balances(features, time, event)
    return balance / max(pairs, 1)


def concordance_balances(features: np.ndarray, time: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, int]:
    """Concordant less discordant pairs of every column (p,), and the number of pairs; no pair is kept."""
    event = np.asarray(event).astype(bool)
    order = np.lexsort((~event, time))  # at equal times the event comes first
    after = first_partners(np.asarray(time)[order], event[order])
    balance = np.zeros(features.shape[1], np.int64)
    _loops().concordance_balances(np.ascontiguousarray(features[order].T, dtype=float), after, balance)
    return balance, int((len(time) - after).sum())


def first_partners(time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """For each row (n,), in time order with events first, the first later row it makes a pair with; n for censored.

    An event at the same time is no pair; a censoring at the same time is one.
    """
    n = len(time)
    deaths, last = time[event], np.searchsorted(time, time, side="left")
    tied = np.searchsorted(deaths, time, side="right") - np.searchsorted(deaths, time, side="left")
    return np.where(event, last + tied, n).astype(np.int64)
