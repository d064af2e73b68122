"""Best cut-point of a score by the maximally selected log-rank statistic, with its corrected p-value.

For training patients only: the caller never has other outcomes at hand. Written by hand: no Python package has it.
Statistic and corrections as R maxstat (Lausen & Schumacher, Biometrics 1992; Comput Stat Data Anal 1996; Hothorn &
Lausen, Comput Stat Data Anal 2003), against which they are checked.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata

from recur.statistics.estimate import checked_arrays
from recur.statistics.linear_predictor import midway

MIN_FRACTION = 0.1  # of the patients on each side of a cut
MIN_EVENTS = 10  # on each side of a cut


def logrank_scores(time: ArrayLike, event: ArrayLike) -> np.ndarray:
    """Log-rank score (n,) of each patient: event less the Nelson-Aalen hazard with the largest rank of a tie."""
    time, event = checked_arrays(time, event)
    order = np.argsort(time, kind="stable")
    rank = rankdata(time, method="max")
    hazard = np.cumsum((event / (len(time) - rank + 1))[order])
    # tied times share the hazard of the last of them
    return event - hazard[np.searchsorted(time[order], time, side="right") - 1]


def best_cutpoint(score: ArrayLike, time: ArrayLike, event: ArrayLike) -> dict:
    """Cut that best separates score <= cut from score > cut, midway between two neighbouring scores.

    dict(cutpoint, statistic, p_lau92, p_lau94, p_corrected, candidates, reason). Candidates leave between
    floor(MIN_FRACTION n) and floor((1 - MIN_FRACTION) n) patients at or below the cut and at least MIN_EVENTS events on
    each side. `statistic` is the standardised log-rank score statistic with permutation variance, not the root of
    the log-rank chi2. p_corrected is the smaller of the Lausen-Schumacher 1992 and 1994 values, at most 1. Of equal
    maxima the smallest cut wins. `candidates`: cutpoint, n_low, events_low, events_high, statistic.
    """
    time, event, score = checked_arrays(time, event, score)
    n = len(score)
    a = logrank_scores(time, event)
    order = np.argsort(score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) > 0, False))
    m = last + 1
    events = np.cumsum(event[order])
    low, high = math.floor(n * MIN_FRACTION), math.floor(n * (1 - MIN_FRACTION))
    allowed = (m >= max(low, 1)) & (m <= high)
    allowed &= (events[last] >= MIN_EVENTS) & (events[-1] - events[last] >= MIN_EVENTS)
    last, m = last[allowed], m[allowed]
    variance = m * (n - m) / (n**2 * (n - 1.0)) * (n * (a**2).sum() - a.sum() ** 2)
    excess = np.cumsum(a[order])[last] - m * a.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = np.abs(excess) / np.sqrt(variance)
    columns = {"cutpoint": midway(score[order][last], score[order][m]), "n_low": m, "events_low": events[last]}
    candidates = pd.DataFrame(columns | {"events_high": events[-1] - events[last], "statistic": statistic})
    nothing = dict.fromkeys(("cutpoint", "statistic", "p_lau92", "p_lau94", "p_corrected"), np.nan)
    if not len(m) or not np.isfinite(statistic).all():
        limits = f"{MIN_FRACTION:.0%} of the {n} patients and {MIN_EVENTS} of the {int(event.sum())} events"
        return nothing | {"candidates": candidates, "reason": f"no cut leaves {limits} on each side"}
    best = int(np.argmax(statistic))
    b = float(statistic[best])
    p92, p94 = _lausen92(b), _lausen94(b, n, m)
    return {
        "cutpoint": float(candidates["cutpoint"][best]),
        "statistic": b,
        "p_lau92": p92,
        "p_lau94": p94,
        "p_corrected": min(p92, p94, 1.0),
        "candidates": candidates,
        "reason": "",
    }


def _lausen92(b: float) -> float:
    if b < 1:
        return 1.0
    density = norm.pdf(b)
    return max(0.0, float(4 * density / b + density * (b - 1 / b) * np.log(((1 - MIN_FRACTION) / MIN_FRACTION) ** 2)))


def _lausen94(b: float, n: int, m: np.ndarray) -> float:
    m1, m2 = m[:-1].astype(float), m[1:].astype(float)
    step = np.sqrt(1 - m1 * (n - m2) / ((n - m1) * m2))
    bound = (np.exp(-(b**2) / 2) / np.pi * (step - (b**2 / 4 - 1) * step**3 / 6)).sum()
    return max(0.0, float(2 * norm.sf(b) + bound))
