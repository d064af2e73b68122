"""Floor 7: frozen models applied to any cohort, and the tables that judge them. Nothing here changes a risk."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from recur.cohort.training import TRAIN
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
from recur.statistics.estimate import NotEstimable, no_horizon
from recur.statistics.nested_concordance import nested_difference
from recur.statistics.net_benefit import net_benefit
from recur.statistics.survival import kaplan_meier, logrank, survival_rates
from recur.statistics.time_roc import auc_at, auc_difference, roc_at

CURVE_STEP_MONTHS = 3
THRESHOLD_STEP = 0.01
COMPARISON_COLUMNS = [
    "cohort",
    "model_a",
    "model_b",
    "metric",
    "horizon_months",
    "difference",
    "lower",
    "upper",
    "p",
    "method",
]
PAIRS = [
    ("combined_pre", "clinical_pre"),
    ("combined_post", "clinical_post"),
    ("combined_pre", "signature"),
    ("combined_post", "combined_pre"),
    ("signature", "size_only"),
    ("signature", "volume_only"),
    ("combined_pre", "size_only"),
    ("combined_pre", "volume_only"),
]
PERFORMANCE_COLUMNS = [
    "model", "cohort", "metric", "horizon_months", "estimate", "lower", "upper", "n", "events", "method"
]  # fmt: skip


def outcome_of(part: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Time, event, and the competing event (None where the endpoint has none)."""
    other = part["competing"].to_numpy() if "competing" in part else None
    return part["time"].to_numpy(), part["event"].to_numpy(), other


def horizons_of(table: pd.DataFrame) -> list[float]:
    """The horizons (months) at which a table has risks, ascending."""
    return sorted(float(name.removeprefix("risk_")) for name in table if name.startswith("risk_"))


def apparent(cohort: str) -> str:
    """The name of a cohort in performance tables: a model on its own training rows is only ever `apparent`."""
    return "train-apparent" if cohort == "train" else cohort


def by_model_and_cohort(risks: pd.DataFrame):
    """(model, cohort, rows) in the order of the table."""
    for (model, cohort), part in risks.groupby(["model", "cohort"], sort=False):
        yield model, cohort, part


def performance(risks: pd.DataFrame, models: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Discrimination, calibration and prediction error of every model in every cohort, one metric a row.

    Weights and calibration are estimated in the evaluated cohort (docs/methods.md 8.1). An estimate that the data
    do not support is left blank, with the reason under `method`.
    """
    rows: list[dict[str, Any]] = []
    for name, cohort, part in by_model_and_cohort(risks):
        found = ranking_metrics(part, models[name])
        for months in models[name]["horizons_months"]:
            found += risk_metrics(part, models[name], months)
        for metric, months, method, value in found:
            reason = value.get("reason")
            rows.append(
                {"model": name, "cohort": apparent(cohort), "metric": metric, "horizon_months": months}
                | {key: value.get(key, np.nan) for key in ("estimate", "lower", "upper")}
                | {"n": len(part), "events": int(part["event"].sum())}
                | {"method": f"not estimated: {reason}" if reason else method}
            )
    return pd.DataFrame(rows, columns=PERFORMANCE_COLUMNS)


def ranking_metrics(part: pd.DataFrame, model: dict[str, Any]) -> list[tuple[str, float | None, str, dict[str, Any]]]:
    """(metric, horizon, method, estimate) of what has no horizon or the last one."""
    time, event, other = outcome_of(part)
    lp, last = part["lp"].to_numpy(), max(model["horizons_months"])
    specific = "" if other is None else "; cause-specific, death censored"
    found = [
        ("c_harrell", None, f"ties in risk one half; infinitesimal jackknife{specific}", harrell_c(time, event, lp)),
        ("c_gamma", None, f"ties in risk dropped; Noether{specific}", gamma_c(time, event, lp)),
        ("d_royston", None, f"log hazard ratio between normal scores{specific}", royston_d(time, event, lp)),
    ]
    risk = part[f"risk_{last:g}"].to_numpy()
    if other is None:
        found += [
            ("c_uno", last, "IPCW, truncated at the horizon", uno_c(time, event, lp, last)),
            ("calibration_slope", None, "Cox model on the linear predictor", calibration_slope(time, event, lp)),
        ]
    else:
        found += [
            (
                "c_competing",
                last,
                "Wolbers, IPCW, truncated at the horizon",
                with_risk(c_at, time, event, risk, last, other),
            ),
            (
                "calibration_slope",
                None,
                f"Fine-Gray model on cloglog of the risk at {last:g} months",
                with_risk(slope_at, time, event, risk, last, other),
            ),
        ]
    ended = beyond_follow_up(model, last)
    integral = ended or ibs(time, event, partial(predicted_risks, model, part), last, other)
    return [*found, ("ibs", last, "step-function integral / horizon", integral)]


def rank_at(model: dict[str, Any], lp: np.ndarray, risk: np.ndarray) -> np.ndarray:
    """What ranks the patients (n,) at a horizon: the linear predictor, or the risk then where that has another order.

    So it is with a competing event, and with strata, whose baseline hazards cross: the linear predictor holds them at
    one time only. Where the follow-up of a stratum gives no risk, the linear predictor is left.
    """
    if "competing" in model:
        return risk
    crossing = "strata" in model and not np.isnan(risk).any()
    return risk if crossing else lp


def risk_metrics(
    part: pd.DataFrame, model: dict[str, Any], months: float
) -> list[tuple[str, float, str, dict[str, Any]]]:
    """(metric, horizon, method, estimate) of the predicted risks at a horizon."""
    time, event, other = outcome_of(part)
    lp, risk = part["lp"].to_numpy(), part[f"risk_{months:g}"].to_numpy()
    observed = "Kaplan-Meier" if other is None else "Aalen-Johansen"
    deaths = "" if other is None else "; deaths are free of the event"
    spline = ("Cox" if other is None else "Fine-Gray") + " model with a spline of cloglog risk"
    rank = rank_at(model, lp, risk)
    auc = auc_at(time, event, rank, months) if other is None else with_risk(auc_at, time, event, rank, months, other)
    found = [
        ("auc", months, f"cumulative/dynamic, IPCW{deaths}", auc),
        ("brier", months, f"IPCW{deaths}", with_risk(brier_at, time, event, risk, months, other)),
        ("ipa", months, f"1 - Brier / Brier of {observed}", with_risk(ipa, time, event, risk, months, other)),
        ("oe_ratio", months, f"{observed} / mean risk", with_risk(observed_expected, time, event, risk, months, other)),
    ]
    curve = with_risk(calibration_curve, time, event, risk, months, competing=other)
    for metric in ("ici", "e50", "e90"):
        found.append(
            (metric, months, spline, {"estimate": curve.get(metric, np.nan), "reason": curve.get("reason", "")})
        )
    return found


def c_at(time, event, risk, months, other) -> dict[str, Any]:
    return c_competing(time, event, other, risk, months)[0]


def slope_at(time, event, risk, months, other) -> dict[str, Any]:
    return competing_slope(time, event, other, risk)


def with_risk(function, time, event, risk, *arguments, **named) -> dict[str, Any]:
    """The function's estimate, or why there is none: no risk beyond the training follow-up, or not estimable."""
    if np.isnan(risk).any():
        return {"reason": "training follow-up does not support a risk at the horizon"}
    return or_reason(function, time, event, risk, *arguments, **named)


def beyond_follow_up(model: dict[str, Any], months: float) -> dict[str, Any]:
    """The reason why a model has no risk at a time, as an estimate; empty when it has one."""
    why = why_no_risk(model, months) if "follow_up_months" in model else ""
    return {"reason": why} if why else {}


def or_reason(function, *arguments, **named) -> dict[str, Any]:
    """The estimate, or why there is none."""
    try:
        return function(*arguments, **named)
    except NotEstimable as error:
        return {"reason": str(error)}


def time_curves(risks: pd.DataFrame, models: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """AUC, Brier score and that of the null model over time, from 6 months to the last horizon."""
    rows = []
    for name, cohort, part in by_model_and_cohort(risks):
        time, event, other = outcome_of(part)
        for months in np.arange(6, max(models[name]["horizons_months"]) + 0.1, CURVE_STEP_MONTHS):
            risk = predicted_risks(models[name], part, months)[:, 0]
            rank = rank_at(models[name], part["lp"].to_numpy(), risk)
            found = {
                "auc": with_risk(auc_at, time, event, rank, months, other),
                "brier": with_risk(brier_at, time, event, risk, months, other),
                "brier_null": brier_null(time, event, months, other),
            }
            for metric, value in found.items():
                estimates = [value.get(key, np.nan) for key in ("estimate", "lower", "upper")]
                rows.append((name, cohort, months, metric, *estimates))
    return pd.DataFrame(rows, columns=["model", "cohort", "time_months", "metric", "estimate", "lower", "upper"])


def roc_curves(risks: pd.DataFrame, models: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Time-dependent ROC curves at every horizon."""
    parts = []
    for name, cohort, part in by_model_and_cohort(risks):
        time, event, other = outcome_of(part)
        for months in models[name]["horizons_months"]:
            score = rank_at(models[name], part["lp"].to_numpy(), part[f"risk_{months:g}"].to_numpy())
            if np.isnan(score).any():
                continue
            curve = roc_at(time, event, score, months, other)
            parts.append(curve.assign(model=name, cohort=cohort, horizon_months=months))
    columns = ["model", "cohort", "horizon_months", "fpr", "tpr", "threshold"]
    return pd.concat([pd.DataFrame(columns=columns), *parts])[columns]


def calibration_tables(
    risks: pd.DataFrame, models: dict[str, dict[str, Any]], nested: list[pd.DataFrame]
) -> pd.DataFrame:
    """Smooth and grouped calibration at every horizon: kind `curve` or `group`.

    nested: what internal_calibration.nested_calibration makes of nested predictions.
    """
    parts = []
    for name, cohort, part in by_model_and_cohort(risks):
        time, event, other = outcome_of(part)
        for months in models[name]["horizons_months"]:
            risk = part[f"risk_{months:g}"].to_numpy()
            base = {"model": name, "cohort": cohort, "horizon_months": months}
            curve = with_risk(calibration_curve, time, event, risk, months, competing=other).get("curve")
            if curve is not None:
                parts.append(curve.assign(**base, kind="curve"))
            groups = with_risk(calibration_groups, time, event, risk, months, competing=other)
            if isinstance(groups, pd.DataFrame):
                parts.append(groups.assign(**base, kind="group"))
    columns = ["model", "cohort", "horizon_months", "kind", "predicted", "observed", "lower", "upper", "n"]
    return pd.concat([pd.DataFrame(columns=columns), *parts, *nested])[columns]


def net_benefit_table(
    risks: pd.DataFrame, models: dict[str, dict[str, Any]], limits: tuple[float, float]
) -> pd.DataFrame:
    """Net benefit from the lowest to the highest threshold at every horizon, with `treat_all` and `treat_none` per
    cohort; `reason` says why a value is missing."""
    parts, seen = [], set()
    low, high = limits
    thresholds = np.linspace(low, high, round((high - low) / THRESHOLD_STEP) + 1)
    for name, cohort, part in by_model_and_cohort(risks):
        time, event, other = outcome_of(part)
        for months in models[name]["horizons_months"]:
            risk = part[f"risk_{months:g}"].to_numpy()
            columns = {"cohort": cohort, "horizon_months": months, "threshold": thresholds}
            if unknown := int(np.isnan(risk).sum()):
                why = beyond_follow_up(models[name], months).get("reason")
                why = why or f"{unknown} of {len(risk)} patients have no predicted risk"
                parts.append(pd.DataFrame({"model": name, **columns, "net_benefit": np.nan, "reason": why}))
                continue
            table = net_benefit(time, event, risk, months, thresholds, other)
            curves = {name: table["net_benefit"]}
            if (cohort, months) not in seen:
                seen.add((cohort, months))
                curves |= {"treat_all": table["treat_all"], "treat_none": 0.0 * table["treat_all"]}
            for model, values in curves.items():
                found = pd.Series(np.asarray(values, float))
                # treat all and treat none lack only what the cohort lacks
                why = table["reason"] if model == name else no_horizon(time, event, months)
                own = {"net_benefit": found, "reason": pd.Series(why, found.index).where(found.isna(), "")}
                parts.append(pd.DataFrame({"model": model, **columns, **own}))
    columns = ["model", "cohort", "horizon_months", "threshold", "net_benefit", "reason"]
    return pd.concat([pd.DataFrame(columns=columns), *parts], ignore_index=True)


def comparisons(risks: pd.DataFrame, nested: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Paired two-sided differences between models on the same patients; no p-value on training rows that were fitted.

    Harrell's C, and at each horizon AUC and Brier score; with a competing event also Wolbers' C, at the last horizon.
    nested: predictions of training patients by models fitted without them (resampling.nested_columns), whose C are
    compared in cohort `train-nested_cv`.
    """
    rows = []
    horizons = horizons_of(risks)
    for cohort, part in risks.groupby("cohort", sort=False):
        lp = part.pivot(index="patient_id", columns="model", values="lp")
        risk = {
            t: part.pivot(index="patient_id", columns="model", values=f"risk_{t:g}").loc[lp.index] for t in horizons
        }
        first = part.drop_duplicates("patient_id").set_index("patient_id").loc[lp.index]
        for a, b in PAIRS:
            if a not in lp or b not in lp:
                continue
            has = lp[[a, b]].notna().all(axis=1).to_numpy()  # a stratified model leaves out strata that are new to it
            if not has.any():
                continue
            time, event, other = outcome_of(first[has])
            found = [("c_harrell", np.nan, c_difference(time, event, lp[a].to_numpy()[has], lp[b].to_numpy()[has]))]
            for months in horizons:
                both = risk[months][a].to_numpy()[has], risk[months][b].to_numpy()[has]
                if np.isnan(both).any():
                    continue
                if other is not None and months == horizons[-1]:
                    found.append(
                        ("c_competing", months, c_competing_difference(time, event, other, *both, months)),
                    )
                found += [
                    ("auc", months, auc_difference(time, event, *both, months, other)),
                    ("brier", months, brier_difference(time, event, *both, months, other)),
                ]
            for metric, months, value in found:
                estimates = [value.get(key, np.nan) for key in ("estimate", "lower", "upper", "p")]
                if cohort == TRAIN:
                    estimates[-1] = np.nan  # no test on the rows that were fitted
                method = "infinitesimal jackknife, paired, two-sided"
                rows.append((apparent(cohort), a, b, metric, months, *estimates, method))
    of_model = {name: part for name, part in nested.groupby("model", sort=False)}
    for a, b in PAIRS:
        if a in of_model and b in of_model:
            same, last = ["repeat", "fold", "patient_id"], f"risk_{horizons[-1]:g}"
            scores = ["lp", last] if "competing" in nested else ["lp"]
            values = of_model[a].merge(of_model[b][[*same, *scores]], on=same, suffixes=("", "_b"))
            rows.append(("train-nested_cv", a, b, "c_harrell", np.nan, *nested_difference(values, "lp", "lp_b", seed)))
            if "competing" in nested and values[[last, f"{last}_b"]].notna().all(axis=None):
                difference = nested_difference(values, last, f"{last}_b", seed, horizons[-1])
                rows.append(("train-nested_cv", a, b, "c_competing", horizons[-1], *difference))
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)


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
            time, event, other = outcome_of(rows)
            if other is None:
                curve, rate = (
                    kaplan_meier(time, event).assign(curve="kaplan-meier"),
                    survival_rates(time, event, horizons),
                )
            else:
                curve, rate = free_of_event(time, event, other), incidence_rates(time, event, other, horizons)
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


def free_of_event(time: np.ndarray, event: np.ndarray, competing: np.ndarray) -> pd.DataFrame:
    """1 - Aalen-Johansen incidence as a survival table; those with the competing event leave as the censored do."""
    table = cumulative_incidence(time, event, competing)
    limits = {"survival": 1 - table["incidence"], "lower": 1 - table["upper"], "upper": 1 - table["lower"]}
    return table.assign(**limits, n_censor=table["n_censor"] + table["n_competing"], curve="aalen-johansen")
