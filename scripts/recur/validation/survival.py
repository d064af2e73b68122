"""Risks of an outcome in time, judged in any cohort: the five functions of recur.validation.tables for such outcomes,
and what outcomes in time have besides, curves over time and survival by risk group. Nothing here changes a risk.

Weights and calibration are estimated in the evaluated cohort (docs/methods.md 8.1).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from recur.predict.apply import predicted_risks
from recur.predict.support import why_no_risk
from recur.statistics.brier import brier_at, brier_difference, brier_null, ibs, ipa
from recur.statistics.calibration import (
    calibration_curve,
    calibration_groups,
    calibration_slope,
    competing_slope,
    observed_expected,
)
from recur.statistics.competing import c_competing, c_competing_difference, cumulative_incidence, incidence_rates
from recur.statistics.concordance import c_difference, gamma_c, harrell_c, royston_d, uno_c
from recur.statistics.estimate import no_horizon, or_reason
from recur.statistics.nested_concordance import nested_difference
from recur.statistics.net_benefit import net_benefit as net_benefit_at
from recur.statistics.outcome import Outcome, outcome_of
from recur.statistics.survival import kaplan_meier, logrank, survival_rates
from recur.statistics.time_roc import auc_at, auc_difference, roc_at
from recur.validation.common import PAIRS, Measure, by_model_and_cohort
from recur.vocabulary import NESTED

CURVE_STEP_MONTHS = 3
PAIRED = "infinitesimal jackknife, paired, two-sided"


def measures(part: pd.DataFrame, model: dict[str, Any], seed: int) -> list[Measure]:
    """Discrimination, calibration and prediction error of a model in the rows of a cohort; nothing here is drawn."""
    outcome = outcome_of(part)
    judged = ranking_measures(part, model, outcome)
    for months in model["horizons_months"]:
        judged += risk_measures(part, model, outcome, months)
    return judged


def ranking_measures(part: pd.DataFrame, model: dict[str, Any], outcome: Outcome) -> list[Measure]:
    """What has no horizon, or the last one."""
    time, event, competing = outcome.time, outcome.event, outcome.competing
    lp = part["lp"].to_numpy()
    last = max(model["horizons_months"])
    specific = "" if competing is None else "; cause-specific, death censored"
    judged = [
        Measure("c_harrell", None, f"ties in risk one half; infinitesimal jackknife{specific}",
                harrell_c(time, event, lp)),
        Measure("c_gamma", None, f"ties in risk dropped; Noether{specific}", gamma_c(time, event, lp)),
        Measure("d_royston", None, f"log hazard ratio between normal scores{specific}", royston_d(time, event, lp)),
    ]  # fmt: skip
    if competing is None:
        slope = calibration_slope(time, event, lp)
        judged += [
            Measure("c_uno", last, "IPCW, truncated at the horizon", uno_c(time, event, lp, last)),
            Measure("calibration_slope", None, "Cox model on the linear predictor", slope),
        ]
    else:
        risk = part[f"risk_{last:g}"].to_numpy()
        c = with_risk(risk, lambda: c_competing(time, event, competing, risk, last)[0])
        slope = with_risk(risk, lambda: competing_slope(time, event, competing, risk))
        judged += [
            Measure("c_competing", last, "Wolbers, IPCW, truncated at the horizon", c),
            Measure("calibration_slope", None, f"Fine-Gray model on cloglog of the risk at {last:g} months", slope),
        ]
    integral = beyond_follow_up(model, last)
    if not integral:
        integral = ibs(time, event, partial(predicted_risks, model, part), last, competing)
    return [*judged, Measure("ibs", last, "step-function integral / horizon", integral)]


def rank_at(model: dict[str, Any], lp: np.ndarray, risk: np.ndarray) -> np.ndarray:
    """What ranks the patients (n,) at a horizon: the linear predictor, or the risk then where that has another order.

    So it is with a competing event, and with strata, whose baseline hazards cross: the linear predictor holds them at
    one time only. Where the follow-up of a stratum gives no risk, the linear predictor is left.
    """
    if "competing" in model:
        return risk
    crossing = "strata" in model and not np.isnan(risk).any()
    return risk if crossing else lp


def risk_measures(part: pd.DataFrame, model: dict[str, Any], outcome: Outcome, months: float) -> list[Measure]:
    """What the predicted risks at a horizon are worth."""
    time, event, competing = outcome.time, outcome.event, outcome.competing
    risk = part[f"risk_{months:g}"].to_numpy()
    rank = rank_at(model, part["lp"].to_numpy(), risk)
    observed, regression, deaths = "Kaplan-Meier", "Cox", ""
    if competing is not None:
        observed, regression, deaths = "Aalen-Johansen", "Fine-Gray", "; deaths are free of the event"
    auc = auc_of(outcome, rank, months)
    brier = with_risk(risk, brier_at, time, event, risk, months, competing)
    accuracy = with_risk(risk, ipa, time, event, risk, months, competing)
    ratio = with_risk(risk, observed_expected, time, event, risk, months, competing)
    curve = with_risk(risk, calibration_curve, time, event, risk, months, competing=competing)
    judged = [
        Measure("auc", months, f"cumulative/dynamic, IPCW{deaths}", auc),
        Measure("brier", months, f"IPCW{deaths}", brier),
        Measure("ipa", months, f"1 - Brier / Brier of {observed}", accuracy),
        Measure("oe_ratio", months, f"{observed} / mean risk", ratio),
    ]
    for metric in ("ici", "e50", "e90"):
        value = {"estimate": curve.get(metric, np.nan), "reason": curve.get("reason", "")}
        judged.append(Measure(metric, months, f"{regression} model with a spline of cloglog risk", value))
    return judged


def auc_of(outcome: Outcome, rank: np.ndarray, months: float) -> dict[str, Any]:
    """AUC at a horizon of what ranks the patients (n,); a rank that is a risk may be missing."""
    if outcome.competing is None:
        return auc_at(outcome.time, outcome.event, rank, months)
    return with_risk(rank, auc_at, outcome.time, outcome.event, rank, months, outcome.competing)


def with_risk(risk: np.ndarray, function, *arguments, **named) -> dict[str, Any]:
    """The function's estimate, or why there is none: no risk beyond the training follow-up, or not estimable."""
    if np.isnan(risk).any():
        return {"reason": "training follow-up does not support a risk at the horizon"}
    return or_reason(function, *arguments, **named)


def beyond_follow_up(model: dict[str, Any], months: float) -> dict[str, Any]:
    """The reason why a model has no risk at a time, as an estimate; empty when it has one."""
    why = why_no_risk(model, months) if "follow_up_months" in model else ""
    return {"reason": why} if why else {}


def roc(part: pd.DataFrame, model: dict[str, Any], months: float) -> pd.DataFrame | None:
    """ROC curve at a horizon: fpr, tpr, threshold; None where a patient has no risk to be ranked by."""
    outcome = outcome_of(part)
    score = rank_at(model, part["lp"].to_numpy(), part[f"risk_{months:g}"].to_numpy())
    if np.isnan(score).any():
        return None
    return roc_at(outcome.time, outcome.event, score, months, outcome.competing)


def calibration(part: pd.DataFrame, model: dict[str, Any], months: float) -> dict[str, pd.DataFrame]:
    """Smooth (`curve`) and grouped (`group`) calibration at a horizon; without what cannot be estimated."""
    outcome, risk = outcome_of(part), part[f"risk_{months:g}"].to_numpy()
    judged = outcome.time, outcome.event, risk, months
    tables = {}
    curve = with_risk(risk, calibration_curve, *judged, competing=outcome.competing).get("curve")
    if curve is not None:
        tables["curve"] = curve
    groups = with_risk(risk, calibration_groups, *judged, competing=outcome.competing)
    if isinstance(groups, pd.DataFrame):
        tables["group"] = groups
    return tables


def net_benefit(part: pd.DataFrame, model: dict[str, Any], months: float, thresholds: np.ndarray) -> pd.DataFrame:
    """net_benefit, treat_all, reason and reason_all (why one of the two is missing) at each threshold."""
    outcome, risk = outcome_of(part), part[f"risk_{months:g}"].to_numpy()
    if unknown := int(np.isnan(risk).sum()):
        why = beyond_follow_up(model, months).get("reason")
        why = why or f"{unknown} of {len(risk)} patients have no predicted risk"
        return pd.DataFrame({"net_benefit": np.nan, "reason": why}, index=range(len(thresholds)))
    table = net_benefit_at(outcome.time, outcome.event, risk, months, thresholds, outcome.competing)
    # treat all and treat none lack only what the cohort lacks
    return table.assign(reason_all=no_horizon(outcome.time, outcome.event, months))


def differences(a: pd.DataFrame, b: pd.DataFrame, horizons: list[float]) -> list[Measure]:
    """Harrell's C, and at each horizon AUC and Brier score, of model a less that of model b on the same patients; with
    a competing event also Wolbers' C, at the last horizon. a, b: their rows of a risks table, in one order.
    """
    outcome = outcome_of(a)
    time, event, competing = outcome.time, outcome.event, outcome.competing
    compared = [Measure("c_harrell", np.nan, PAIRED, c_difference(time, event, a["lp"].to_numpy(), b["lp"].to_numpy()))]
    for months in horizons:
        both = a[f"risk_{months:g}"].to_numpy(), b[f"risk_{months:g}"].to_numpy()
        if np.isnan(both).any():
            continue
        if competing is not None and months == horizons[-1]:
            c = c_competing_difference(time, event, competing, *both, months)
            compared.append(Measure("c_competing", months, PAIRED, c))
        auc = auc_difference(time, event, *both, months, competing)
        brier = brier_difference(time, event, *both, months, competing)
        compared += [Measure("auc", months, PAIRED, auc), Measure("brier", months, PAIRED, brier)]
    return compared


def nested_differences(nested: pd.DataFrame, horizons: list[float], seed: int) -> list[tuple]:
    """Rows of COMPARISON_COLUMNS: C of nested predictions, and of a competing event Wolbers' C, at the last horizon."""
    rows = []
    of_model = {name: part for name, part in nested.groupby("model", sort=False)}
    for a, b in PAIRS:
        if a not in of_model or b not in of_model:
            continue
        same, last = ["repeat", "fold", "patient_id"], f"risk_{horizons[-1]:g}"
        scores = ["lp", last] if "competing" in nested else ["lp"]
        values = of_model[a].merge(of_model[b][[*same, *scores]], on=same, suffixes=("", "_b"))
        rows.append((NESTED, a, b, "c_harrell", np.nan, *nested_difference(values, "lp", "lp_b", seed)))
        if "competing" in nested and values[[last, f"{last}_b"]].notna().all(axis=None):
            difference = nested_difference(values, last, f"{last}_b", seed, horizons[-1])
            rows.append((NESTED, a, b, "c_competing", horizons[-1], *difference))
    return rows


def time_curves(risks: pd.DataFrame, models: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """AUC, Brier score and that of the null model over time, from 6 months to the last horizon."""
    rows = []
    for name, cohort, part in by_model_and_cohort(risks):
        outcome = outcome_of(part)
        time, event, competing = outcome.time, outcome.event, outcome.competing
        for months in np.arange(6, max(models[name]["horizons_months"]) + 0.1, CURVE_STEP_MONTHS):
            risk = predicted_risks(models[name], part, months)[:, 0]
            rank = rank_at(models[name], part["lp"].to_numpy(), risk)
            values = {
                "auc": with_risk(rank, auc_at, time, event, rank, months, competing),
                "brier": with_risk(risk, brier_at, time, event, risk, months, competing),
                "brier_null": brier_null(time, event, months, competing),
            }
            for metric, value in values.items():
                estimates = [value.get(key, np.nan) for key in ("estimate", "lower", "upper")]
                rows.append((name, cohort, months, metric, *estimates))
    return pd.DataFrame(rows, columns=["model", "cohort", "time_months", "metric", "estimate", "lower", "upper"])


def survival_tables(risks: pd.DataFrame, horizons: list[float]) -> dict[str, pd.DataFrame]:
    """km, logrank and rates of the frozen risk groups per model and cohort, and of each cohort as a whole.

    With a competing event, survival is 1 - the Aalen-Johansen incidence (`curve` says which), and the log-rank test
    is that of the cause-specific hazard.
    """
    km, tests, rates = [], [], []
    whole = risks.drop_duplicates("patient_id").assign(model="all", group="all")
    for model, cohort, part in by_model_and_cohort(pd.concat([whole, risks])):
        base = {"model": model, "cohort": cohort}
        for group, rows in part.groupby("group"):
            outcome = outcome_of(rows)
            if outcome.competing is None:
                curve = kaplan_meier(outcome.time, outcome.event).assign(curve="kaplan-meier")
                rate = survival_rates(outcome.time, outcome.event, horizons)
            else:
                curve = free_of_event(outcome)
                rate = incidence_rates(outcome.time, outcome.event, outcome.competing, horizons)
            km.append(curve.assign(**base, group=group))
            rates.append(rate.assign(**base, group=group, n=len(rows)))
        if part["group"].nunique() > 1:
            test = logrank(part["time"], part["event"], part["group"])
            tests.append(
                base | {k: test[k] for k in ("chi2", "df", "p")} | {"n": len(part), "events": part["event"].sum()}
            )
    rates = [part.rename(columns={"horizon": "horizon_months"}) for part in rates]
    keys = ["model", "cohort", "group"]
    return {
        "km": pd.concat(km)[[*keys, "time", "survival", "lower", "upper", "n_risk", "n_event", "n_censor", "curve"]],
        "logrank": pd.DataFrame(tests, columns=["model", "cohort", "chi2", "df", "p", "n", "events"]),
        "rates": pd.concat(rates)[[*keys, "horizon_months", "survival", "lower", "upper", "n_risk", "n", "events"]],
    }


def free_of_event(outcome: Outcome) -> pd.DataFrame:
    """1 - Aalen-Johansen incidence as a survival table; those with the competing event leave as the censored do."""
    table = cumulative_incidence(outcome.time, outcome.event, outcome.competing)
    limits = {"survival": 1 - table["incidence"], "lower": 1 - table["upper"], "upper": 1 - table["lower"]}
    return table.assign(**limits, n_censor=table["n_censor"] + table["n_competing"], curve="aalen-johansen")
