"""Outcomes of patients, in time or at a horizon, and the concordance that takes either kind.

An outcome in time has `time`; one at a horizon, or of a single examination, has none: it is binary, and its C is the
AUC. Whoever is censored before the horizon has no known outcome, and `follow_up` weighs the others for that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from recur.statistics.concordance import c_difference, harrell_c
from recur.statistics.estimate import blank, interval, paired_difference
from recur.statistics.ipcw import censoring_influence, censoring_weights
from recur.statistics.time_roc import weighted_auc

SURVIVAL, BINARY = "survival", "binary"


class Outcome(NamedTuple):
    """Outcomes of n patients, or of n draws of them."""

    event: np.ndarray  # (n,) 0/1, 0 also where it is not known
    time: np.ndarray | None = None  # (n,) months to event, competing event or censoring; None of a binary outcome
    competing: np.ndarray | None = None  # (n,) 0/1; None where the endpoint has no competing event
    follow_up: np.ndarray | None = None  # (n,) months, cut at the horizon, of a binary outcome there; else None
    known: np.ndarray | None = None  # (n,) whether the outcome at the horizon is; None where it always is

    @property
    def kind(self) -> str:
        """`survival` or `binary`."""
        return BINARY if self.time is None else SURVIVAL

    @property
    def metric(self) -> str:
        """The name of the outcome's concordance in the tables."""
        return "auc" if self.time is None else "c_harrell"

    @property
    def pair_times(self) -> np.ndarray:
        """Times (n,) that make the pairs of a concordance: all 0 of a binary outcome, whose pairs the AUC has."""
        return np.zeros(len(self.event)) if self.time is None else self.time

    @property
    def weight(self) -> np.ndarray | None:
        """Weights (n,) for censoring before the horizon, 0 where the outcome is not known; None without a horizon.

        Estimated on these rows: those of a fold or resample are its own.
        """
        return None if self.follow_up is None else censoring_weights(self.follow_up, self.known)

    def rows(self, index: np.ndarray | slice) -> Outcome:
        """The outcomes of the given rows, repeats allowed."""
        return Outcome(*(None if array is None else array[index] for array in self))


def outcome_of(frame: pd.DataFrame) -> Outcome:
    """The outcome of the rows of a cohort or of a risks table: the one place that knows these tables' columns.

    time and event; with a competing event also competing. Of a binary outcome event alone, and with a horizon also
    follow_up, where an event that is not known is empty (nested predictions of such an outcome have a time of 0).
    """
    if "time" in frame and "follow_up" not in frame:
        competing = frame["competing"].to_numpy() if "competing" in frame else None
        return Outcome(frame["event"].to_numpy(), frame["time"].to_numpy(), competing)
    event = frame["event"].fillna(0).to_numpy(int)
    if "follow_up" not in frame:
        return Outcome(event)
    return Outcome(event, follow_up=frame["follow_up"].to_numpy(float), known=frame["event"].notna().to_numpy())


def concordance_of(outcome: Outcome, score: ArrayLike) -> dict:
    """Harrell's C of a score (n,); for outcomes without a time the AUC, of one at a horizon weighted for censoring."""
    if outcome.follow_up is None:
        return harrell_c(outcome.pair_times, outcome.event, score)
    score = np.asarray(score, float)
    if reason := _one_class(outcome):
        return blank(reason)
    if score.min() == score.max():
        return blank("all scores are equal") | {"estimate": 0.5}
    auc, influence = _weighted_auc(outcome, score)
    return interval(auc, np.sqrt(np.var(influence, ddof=1) * len(score)))


def concordance_difference_of(outcome: Outcome, score_a: ArrayLike, score_b: ArrayLike) -> dict:
    """concordance_of score_a less that of score_b on the same patients, two-sided."""
    if outcome.follow_up is None:
        return c_difference(outcome.pair_times, outcome.event, score_a, score_b)
    if reason := _one_class(outcome):
        return blank(reason) | {"p": np.nan}
    return paired_difference(*(_weighted_auc(outcome, np.asarray(score, float)) for score in (score_a, score_b)))


def error_of_concordance(outcome: Outcome) -> str:
    """How the standard error of concordance_of is estimated, in words."""
    return "infinitesimal jackknife" if outcome.follow_up is None else "weighted for censoring; influence function"


def _one_class(outcome: Outcome) -> str:
    classes = np.unique(outcome.event[outcome.known])
    return "" if len(classes) == 2 else "all patients whose outcome is known have the same"


def _weighted_auc(outcome: Outcome, score: np.ndarray) -> tuple[float, np.ndarray]:
    """AUC at the horizon and its influence (n,); who is censored exactly at it counts as followed so far."""
    weight, event = outcome.weight, outcome.event
    auc, at_case, at_control = weighted_auc(weight * event, weight * (1 - event), score)
    terms = at_case + at_control
    # every weight is 1 / G just before the row's own follow-up
    nothing_at_horizon = np.zeros(len(score))
    return auc, terms + censoring_influence(outcome.follow_up, outcome.known, np.inf, terms, nothing_at_horizon)
