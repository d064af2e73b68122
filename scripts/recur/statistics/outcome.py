"""Concordance and time-dependent ROC for a score where higher means worse.

Written by hand: scikit-survival takes the censoring survival G at t instead of just before it (2e-4 off in Uno's C, up
to 0.08 with other weights) and gives no standard errors. Conventions are R's survival::concordance,
riskRegression::Score and survcomp, against which everything here is checked except survcomp (formulas from its source).

Everywhere: `time` (n,), `event` (n,) 0/1 or bool, `score` (n,). Estimates are dict(estimate, se, lower, upper, reason);
where the data give no answer they are NaN with the reason, never an exception. Intervals are 95%.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from recur.statistics.concordance import c_difference, harrell_c
from recur.statistics.estimate import (
    blank,
    interval,
    paired_difference,
)
from recur.statistics.ipcw import censoring_influence, censoring_weights
from recur.statistics.time_roc import weighted_auc


def times_of(frame: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Times (n,) of the rows and the name of Harrell's C with them: without a time all are 0, and C is the AUC."""
    return (frame["time"].to_numpy(), "c_harrell") if "time" in frame else (np.zeros(len(frame)), "auc")


def binary_outcome(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray | None]:
    """Outcome 0/1 (n,) of the rows and their weights (n,): of those censored before the horizon 0 and 0.

    The weights are estimated on these rows; None where no outcome was censored (the frame has no column follow_up).
    """
    known = frame["event"].notna().to_numpy()
    event = frame["event"].fillna(0).to_numpy(int)
    return event, censoring_weights(frame["follow_up"], known) if "follow_up" in frame else None


def c_of(frame: pd.DataFrame, score: ArrayLike) -> dict:
    """harrell_c of the rows; without a time the AUC, of an outcome at a horizon weighted for censoring (auc_at)."""
    if "follow_up" in frame:
        return _auc_of_known(frame, score)
    return harrell_c(times_of(frame)[0], frame["event"].to_numpy(), score)


def c_difference_of(frame: pd.DataFrame, score_a: ArrayLike, score_b: ArrayLike) -> dict:
    """c_difference of the rows, as c_of."""
    if "follow_up" not in frame:
        return c_difference(times_of(frame)[0], frame["event"].to_numpy(), score_a, score_b)
    if reason := _one_class(frame):
        return blank(reason) | {"p": np.nan}
    return paired_difference(*(_auc_known(frame, score) for score in (score_a, score_b)))


def _one_class(frame: pd.DataFrame) -> str:
    return "" if frame["event"].nunique() == 2 else "all patients whose outcome is known have the same"


def _auc_of_known(frame: pd.DataFrame, score: ArrayLike) -> dict:
    """auc_at the horizon of outcomes there; who is censored exactly at it counts as followed so far."""
    score = np.asarray(score, float)
    if reason := _one_class(frame):
        return blank(reason)
    if score.min() == score.max():
        return blank("all scores are equal") | {"estimate": 0.5}
    auc, influence = _auc_known(frame, score)
    return interval(auc, np.sqrt(np.var(influence, ddof=1) * len(frame)))


def _auc_known(frame: pd.DataFrame, score: ArrayLike) -> tuple[float, np.ndarray]:
    event, weight = binary_outcome(frame)
    auc, at_case, at_control = weighted_auc(weight * event, weight * (1 - event), np.asarray(score, float))
    terms, known = at_case + at_control, frame["event"].notna().to_numpy()
    # every weight is 1 / G just before the row's own follow-up
    return auc, terms + censoring_influence(
        frame["follow_up"].to_numpy(float), known, np.inf, terms, np.zeros(len(frame))
    )
