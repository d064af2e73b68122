"""How the frozen models rank patients within the levels of each clinical variable; nothing is fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2

from recur.statistics.outcome import BINARY, concordance_of, outcome_of
from recur.statistics.roc import auc
from recur.validation.factors import factor_groups
from recur.vocabulary import TRAIN, apparent

COLUMNS = ["model", "cohort", "factor", "level", "metric", "estimate", "lower", "upper", "n", "events",
           "p_heterogeneity", "method"]  # fmt: skip
MIN_EVENTS = 10  # in a level (of a binary outcome, of either class), for an estimate with an interval
METHODS = {
    "c_harrell": "Harrell's C of the frozen model within the level; infinitesimal jackknife",
    "auc": "AUC of the frozen model within the level; DeLong",
}
WEIGHTED = "AUC of the frozen model within the level, weighted for censoring; influence function"


def subgroups(risks: pd.DataFrame, frame: pd.DataFrame, terms: list[str], variables: dict[str, Any]) -> pd.DataFrame:
    """C (of a binary outcome the AUC) by level of each variable, per model and cohort (COLUMNS); a number is halved at
    its training median.

    risks: the table of floor 7; frame: cohort rows with the variables as codes. The first row of a model and cohort is
    all its patients (factor `all`). A variable without two levels in a cohort is left out there. p_heterogeneity, the
    same on every level, asks whether the C of the levels differ (Cochran 1954, Biometrics 10:101); blank for fewer than
    two estimates, and on training rows, where every C is apparent.
    """
    levels = factor_groups(frame, terms, variables).rename(columns={"model": "factor"}) if terms else pd.DataFrame()
    outcome = outcome_of(risks)
    metric = outcome.metric
    estimated = METHODS[metric] if outcome.follow_up is None else WEIGHTED
    method = f"{estimated}; p of Cochran's Q over the levels"
    rows: list[tuple] = []
    for (model, cohort), own in risks.groupby(["model", "cohort"], sort=False):
        own = own.set_index("patient_id")
        rows.append((model, apparent(cohort), "all", "", *estimate(own), np.nan, method))
        here = levels[levels["cohort"] == cohort] if len(levels) else levels
        for factor, part in here.groupby("factor", sort=False) if len(here) else []:
            if part["group"].nunique() < 2:
                continue
            members = part.groupby(["is_upper_half", "group"])["patient_id"]  # the lower half first
            found = {level: estimate(own.loc[own.index.intersection(ids)]) for (_, level), ids in members}
            p = np.nan if cohort == TRAIN else heterogeneity([values[:3] for values in found.values()])
            rows += [(model, apparent(cohort), factor, level, *values, p, method) for level, values in found.items()]
    table = pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "metric"])
    table.insert(4, "metric", metric)
    return table[COLUMNS]


def estimate(part: pd.DataFrame) -> tuple[float, float, float, int, int]:
    """C (AUC) with its limits, patients and events of these rows; blank below MIN_EVENTS."""
    outcome, events = outcome_of(part), int(part["event"].sum())
    smaller_class = events
    if outcome.kind == BINARY:
        smaller_class = min(events, int((part["event"] == 0).sum()))
    value: dict[str, float] = {}
    if smaller_class >= MIN_EVENTS and outcome.kind == BINARY and outcome.follow_up is None:
        value = auc(outcome.event, part["lp"])
    elif smaller_class >= MIN_EVENTS:
        value = concordance_of(outcome, part["lp"])
    return (*(value.get(key, np.nan) for key in ("estimate", "lower", "upper")), len(part), events)


def heterogeneity(estimates: list[tuple[float, float, float]]) -> float:
    """p of Cochran's Q of independent estimates with 95 % limits; NaN for fewer than two of them."""
    values = np.array([triple for triple in estimates if np.isfinite(triple).all()], float).reshape(-1, 3)
    # the wider side: an interval that was cut at 0 or 1 is too narrow on that side
    se = np.maximum(values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]) / 1.959963984540054
    values, weight = values[se > 0], 1 / se[se > 0] ** 2
    if len(values) < 2:
        return np.nan
    centre = (weight * values[:, 0]).sum() / weight.sum()
    return float(chi2.sf((weight * (values[:, 0] - centre) ** 2).sum(), len(values) - 1))
