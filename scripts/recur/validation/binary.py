"""Risks of a binary outcome, judged in any cohort: the five functions of recur.validation.tables for such outcomes, and
the accuracy of nested predictions. Nothing here changes a risk.

Calibration after Van Calster et al. (BMC Med 2019); O/E after Debray et al. (BMJ 2017); decision curves after Vickers &
Elkin (2006). An outcome at a horizon (column follow_up) is unknown of those censored before it, and weighted by
ipcw.censoring_weights of the evaluated rows: shares are Kaplan-Meier's or Aalen-Johansen's, classes and net benefit
those of Uno et al. (JASA 2007), the AUC that of Blanche et al. (Stat Med 2013), the Brier score Graf's (Stat Med 1999).

Without weights estimates have closed limits; under weights the AUC has (its influence function), the others are
bootstrapped over patients with weights of each draw.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from recur.cli import progress
from recur.statistics.binary_risks import (
    EXTREME,
    at_cut,
    brier,
    calibration_curve,
    calibration_groups,
    calibration_intercept,
    calibration_slope,
    ipa,
    net_benefits,
    observed_expected,
    point_estimates,
)
from recur.statistics.estimate import blank, or_reason
from recur.statistics.nested_concordance import common_repeats
from recur.statistics.outcome import Outcome, concordance_difference_of, concordance_of, outcome_of
from recur.statistics.roc import auc, auc_difference, roc_points
from recur.validation.common import PERFORMANCE_COLUMNS, Measure, fitted_rows
from recur.vocabulary import NESTED

DRAWS = 500  # bootstrap draws of the patients of a nested cross-validation, or of a cohort with weights
FITTED = ("calibration_slope", "calibration_intercept", "oe_ratio")  # 1, 0 and 1 on the rows of a fit by likelihood
AT_HORIZON = "cumulative/dynamic at the horizon; influence function"


def measures(part: pd.DataFrame, model: dict[str, Any], seed: int) -> list[Measure]:
    """Discrimination, calibration, prediction error and classes of a model in the rows of a cohort. A published score
    (column published) ranks by its own formula.
    """
    outcome, risk = outcome_of(part), part["risk"].to_numpy()
    rank = part["published" if "published" in part else "risk"].to_numpy()
    judged = [auc_of(outcome, rank), *risk_measures(outcome, risk)]
    judged += class_measures(outcome, part["group"].to_numpy())
    if outcome.weight is None:
        return judged
    return with_limits(judged, bootstrapped(part, seed), outcome.weight)


def auc_of(outcome: Outcome, rank: np.ndarray) -> Measure:
    if outcome.follow_up is None:
        return Measure("auc", np.nan, "DeLong", auc(outcome.event, rank))
    return Measure("auc", np.nan, AT_HORIZON, concordance_of(outcome, rank))


def risk_measures(outcome: Outcome, risk: np.ndarray) -> list[Measure]:
    """Error and calibration of the risks (n,)."""
    judged = outcome.event, risk, outcome.weight
    curve = or_reason(calibration_curve, *judged)
    rows = [
        ("brier", "mean squared error", brier(*judged)),
        ("ipa", "1 - Brier / Brier of the cohort's share of events", ipa(*judged)),
        ("calibration_slope", "logistic model on the log odds of the risk", or_reason(calibration_slope, *judged)),
        ("calibration_intercept", "logistic model with the log odds as offset",
         or_reason(calibration_intercept, *judged)),
        ("oe_ratio", "events / sum of risks", observed_expected(*judged)),
    ]  # fmt: skip
    for metric in ("ici", "e50", "e90"):
        value = {"estimate": curve.get(metric, np.nan), "reason": curve.get("reason", "")}
        rows.append((metric, "logistic model with a spline of the log odds", value))
    return [Measure(metric, np.nan, method, value) for metric, method, value in rows]


def class_measures(outcome: Outcome, group: np.ndarray) -> list[Measure]:
    """Sensitivity, specificity and predictive values at the frozen cut-point; group (n,): low, high, or all without."""
    judged = []
    for metric, (counted, among) in at_cut(outcome.event, group == "high", outcome.weight).items():
        counts = f"{counted}/{among}; Wilson"
        if (group == "all").any():
            value = blank("the model has no cut-point")
        elif not among:
            value = blank("no patient to count")
        elif outcome.weight is not None:
            counts = f"{counted:.1f}/{among:.1f}"
            value = {"estimate": counted / among}
        else:
            low, high = proportion_confint(counted, among, method="wilson")
            value = {"estimate": counted / among, "lower": low, "upper": high}
        judged.append(Measure(metric, np.nan, f"at the frozen cut-point, {counts}", value))
    return judged


def bootstrapped(part: pd.DataFrame, seed: int) -> pd.DataFrame:
    """95 % limits (lower, upper) of point_estimates in a cohort with weights, by metric."""
    outcome, risk = outcome_of(part), part["risk"].to_numpy()
    high = (part["group"] == "high").to_numpy()
    has_cut = not part["group"].eq("all").any()
    rng, drawn = np.random.default_rng([seed, 11]), []
    for _ in range(DRAWS):
        at = rng.integers(0, len(part), len(part))
        drawn.append(point_estimates(outcome.event[at], risk[at], high[at], has_cut, outcome.rows(at).weight))
    limits = pd.DataFrame(drawn).quantile([0.025, 0.975]).set_axis(["lower", "upper"]).T
    # one risk for all is at best the null model: the draws of its IPA lie on one side of 0 and give no interval
    return limits.drop("ipa") if np.ptp(risk) < EXTREME else limits


def with_limits(judged: list[Measure], limits: pd.DataFrame, weight: np.ndarray) -> list[Measure]:
    """The estimates under weights with the limits of `bootstrapped`, and methods that say so."""
    weighted = f"weighted for {int((weight == 0).sum())} censored before the horizon"
    result = []
    for measure in judged:
        method, value = measure.method, measure.value
        if measure.metric in limits.index:
            method = f"{method}; bootstrap over patients, weights of each draw"
            value = value | limits.loc[measure.metric].to_dict()
        result.append(measure._replace(method=f"{method}; {weighted}", value=value))
    return result


def roc(part: pd.DataFrame, model: dict[str, Any], months: float) -> pd.DataFrame:
    """ROC curve: fpr, tpr, threshold (of the risk)."""
    outcome = outcome_of(part)
    points = roc_points(outcome.event, part["risk"], outcome.weight)
    rates = {"fpr": 1 - points["specificity"], "tpr": points["sensitivity"]}
    return points.assign(**rates).replace([np.inf, -np.inf], np.nan)


def calibration(part: pd.DataFrame, model: dict[str, Any], months: float) -> dict[str, pd.DataFrame]:
    """Grouped (`group`) and smooth (`curve`, where it can be estimated) calibration."""
    outcome = outcome_of(part)
    judged = outcome.event, part["risk"].to_numpy(), outcome.weight
    tables = {"group": calibration_groups(*judged)}
    curve = or_reason(calibration_curve, *judged).get("curve")
    return tables if curve is None else tables | {"curve": curve}


def net_benefit(part: pd.DataFrame, model: dict[str, Any], months: float, thresholds: np.ndarray) -> pd.DataFrame:
    """net_benefit, treat_all, reason and reason_all (no value is missing) at each threshold."""
    outcome = outcome_of(part)
    gain, everybody = net_benefits(outcome.event, part["risk"].to_numpy(), thresholds, outcome.weight)
    return pd.DataFrame({"net_benefit": gain, "treat_all": everybody, "reason": "", "reason_all": ""})


def differences(a: pd.DataFrame, b: pd.DataFrame, horizons: list[float]) -> list[Measure]:
    """AUC of model a less that of model b on the same patients. a, b: their rows of a risks table, in one order."""
    return [auc_difference_of(outcome_of(a), a["risk"].to_numpy(), b["risk"].to_numpy())]


def auc_difference_of(outcome: Outcome, a: np.ndarray, b: np.ndarray) -> Measure:
    """AUC of score a (n,) less that of b: DeLong; of an outcome at a horizon by the influence function."""
    if outcome.follow_up is None:
        return Measure("auc", np.nan, "DeLong, paired, two-sided", auc_difference(outcome.event, a, b))
    return Measure("auc", np.nan, f"{AT_HORIZON}, paired, two-sided", concordance_difference_of(outcome, a, b))


def done(nested: pd.DataFrame) -> pd.DataFrame:
    """The rows of nested predictions whose fold could be fitted, their risks as numbers."""
    return fitted_rows(nested).astype({"risk": float})


class Repeat(NamedTuple):
    """The predictions of the same patients in one repeat of a nested cross-validation."""

    risk: np.ndarray  # (n,)
    high: np.ndarray  # (n,) above the cut-point of the fold's own model


def nested_measures(nested: pd.DataFrame, seed: int) -> pd.DataFrame:
    """What nested predictions say besides the AUC (which compares patients of one fold only): calibration, error, and
    the classes by each fold's own cut-point; means over repeats, with a bootstrap interval over patients.
    """
    rows = []
    models = list(done(nested).groupby("model", sort=False))
    anew = ", weights of each draw" if "follow_up" in nested else ""
    for model, part in progress(models, len(models), "accuracy of the nested predictions", "models"):
        tables = common_repeats(part)
        outcome = outcome_of(tables[0])
        repeats = [Repeat(table["risk"].to_numpy(), (table["group"] == "high").to_numpy()) for table in tables]
        has_cut = not part["group"].eq("all").any()
        rng, n = np.random.default_rng([seed, 10]), len(outcome.event)
        drawn = pd.DataFrame([means(outcome, repeats, has_cut, rng.integers(0, n, n)) for _ in range(DRAWS)])
        method = f"nested predictions, mean over {len(repeats)} repeats; bootstrap over patients{anew}"
        size = {"n": n, "events": int(outcome.event.sum()), "method": method}
        for metric, estimate in means(outcome, repeats, has_cut, np.arange(n)).items():
            lower, upper = drawn[metric].quantile([0.025, 0.975])
            row = {"model": model, "cohort": NESTED, "metric": metric, "horizon_months": np.nan, "estimate": estimate}
            rows.append(row | {"lower": lower, "upper": upper} | size)
    return pd.DataFrame(rows, columns=PERFORMANCE_COLUMNS)


def means(outcome: Outcome, repeats: list[Repeat], has_cut: bool, at: np.ndarray) -> dict[str, float]:
    """point_estimates of the rows `at` (a draw of patients), mean over the repeats."""
    drawn = outcome.rows(at)
    weight = drawn.weight
    each = [point_estimates(drawn.event, own.risk[at], own.high[at], has_cut, weight) for own in repeats]
    return pd.DataFrame(each).mean().to_dict()
