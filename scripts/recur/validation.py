"""Floor 7: frozen models applied to any cohort, and the tables that judge them. Nothing here changes a risk."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from recur.calibration import calibration_curve, calibration_groups, calibration_slope, observed_expected
from recur.cox import NotEstimable
from recur.discrimination import auc_at, c_difference, gamma_c, harrell_c, roc_at, uno_c
from recur.models import linear_predictor, risk_at, risk_group
from recur.net_benefit import net_benefit
from recur.prediction_error import brier_at, brier_null, ibs, ipa
from recur.signature import signature_scores
from recur.survival import kaplan_meier, logrank, survival_rates
from recur.training import TRAIN

CURVE_STEP_MONTHS = 3
THRESHOLDS = np.arange(0.02, 0.82, 0.02)
PAIRS = [
    ("combined_pre", "clinical_pre"),
    ("combined_post", "clinical_post"),
    ("combined_pre", "signature"),
    ("combined_post", "combined_pre"),
]
PERFORMANCE_COLUMNS = [
    "model", "cohort", "metric", "horizon_months", "estimate", "lower", "upper", "n", "events", "method"
]  # fmt: skip


def apply_models(
    models: dict[str, dict[str, Any]],
    signature: dict[str, Any] | None,
    frame: pd.DataFrame,
    features: np.ndarray,
    names: list[str],
) -> pd.DataFrame:
    """Every frozen model on every row: model, patient_id, cohort, time, event, lp, group, risk_<months>."""
    score = signature_scores(signature, features, names) if signature is not None else None
    parts = []
    for name, model in models.items():
        part = frame[["patient_id", "cohort", "time", "event"]].copy()
        part.insert(0, "model", name)
        part["lp"] = linear_predictor(model, frame, score)
        part["group"] = risk_group(model, part["lp"].to_numpy())
        for months in model["horizons_months"]:
            part[f"risk_{months:g}"] = risk_at(model, part["lp"].to_numpy(), months)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def apparent(cohort: str) -> str:
    """The name of a cohort in performance tables: a model on its own training rows is only ever `apparent`."""
    return "train-apparent" if cohort == "train" else cohort


def by_model_and_cohort(risks: pd.DataFrame):
    """(model, cohort, rows) in the order of the table."""
    for (model, cohort), part in risks.groupby(["model", "cohort"], sort=False):
        yield model, cohort, part


def performance(risks: pd.DataFrame, models: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Discrimination, calibration and prediction error of every model in every cohort, one metric a row.

    Weights and calibration are estimated in the evaluated cohort (methods.md 0.2, item 5). An estimate that the data
    do not support is left blank, with the reason under `method`.
    """
    rows: list[dict[str, Any]] = []
    for name, cohort, part in by_model_and_cohort(risks):
        model = models[name]
        time, event, lp = (part[column].to_numpy() for column in ("time", "event", "lp"))
        horizons = model["horizons_months"]
        last = max(horizons)
        found = [
            ("c_harrell", None, "ties in risk one half; infinitesimal jackknife", harrell_c(time, event, lp)),
            ("c_gamma", None, "ties in risk dropped; Noether", gamma_c(time, event, lp)),
            ("c_uno", last, "IPCW, truncated at the horizon", uno_c(time, event, lp, last)),
            (
                "calibration_slope",
                None,
                "Cox model on the linear predictor",
                or_reason(calibration_slope, time, event, lp),
            ),
            ("ibs", last, "step-function integral / horizon", ibs(time, event, partial(risks_at, model, lp), last)),
        ]
        for months in horizons:
            risk = part[f"risk_{months:g}"].to_numpy()
            curve = or_reason(calibration_curve, time, event, risk, months)
            found += [
                ("auc", months, "cumulative/dynamic, IPCW", auc_at(time, event, lp, months)),
                ("brier", months, "IPCW", brier_at(time, event, risk, months)),
                ("ipa", months, "1 - Brier / Brier of Kaplan-Meier", ipa(time, event, risk, months)),
                ("oe_ratio", months, "(1 - Kaplan-Meier) / mean risk", observed_expected(time, event, risk, months)),
            ]
            for metric in ("ici", "e50", "e90"):
                value = {"estimate": curve.get(metric, np.nan), "reason": curve.get("reason", "")}
                found.append((metric, months, "Cox model with a spline of cloglog risk", value))
        for metric, months, method, value in found:
            reason = value.get("reason")
            rows.append(
                {"model": name, "cohort": apparent(cohort), "metric": metric, "horizon_months": months}
                | {key: value.get(key, np.nan) for key in ("estimate", "lower", "upper")}
                | {"n": len(part), "events": int(event.sum())}
                | {"method": f"not estimated: {reason}" if reason else method}
            )
    return pd.DataFrame(rows, columns=PERFORMANCE_COLUMNS)


def or_reason(function, *arguments) -> dict[str, Any]:
    """The estimate, or why there is none."""
    try:
        return function(*arguments)
    except NotEstimable as error:
        return {"reason": str(error)}


def risks_at(model: dict[str, Any], lp: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Predicted risks (n, J) at several times."""
    return np.column_stack([risk_at(model, lp, months) for months in np.atleast_1d(times)])


def time_curves(risks: pd.DataFrame, models: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """AUC, Brier score and that of the null model over time, from 6 months to the last horizon."""
    rows = []
    for name, cohort, part in by_model_and_cohort(risks):
        time, event, lp = (part[column].to_numpy() for column in ("time", "event", "lp"))
        for months in np.arange(6, max(models[name]["horizons_months"]) + 0.1, CURVE_STEP_MONTHS):
            found = {
                "auc": auc_at(time, event, lp, months),
                "brier": brier_at(time, event, risk_at(models[name], lp, months), months),
                "brier_null": brier_null(time, event, months),
            }
            for metric, value in found.items():
                estimates = [value.get(key, np.nan) for key in ("estimate", "lower", "upper")]
                rows.append((name, cohort, months, metric, *estimates))
    return pd.DataFrame(rows, columns=["model", "cohort", "time_months", "metric", "estimate", "lower", "upper"])


def roc_curves(risks: pd.DataFrame, models: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Time-dependent ROC curves at every horizon."""
    parts = []
    for name, cohort, part in by_model_and_cohort(risks):
        for months in models[name]["horizons_months"]:
            curve = roc_at(part["time"], part["event"], part["lp"], months)
            parts.append(curve.assign(model=name, cohort=cohort, horizon_months=months))
    return pd.concat(parts)[["model", "cohort", "horizon_months", "fpr", "tpr", "threshold"]]


def calibration_tables(risks: pd.DataFrame, models: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Smooth and grouped calibration at every horizon: kind `curve` or `group`."""
    parts = []
    for name, cohort, part in by_model_and_cohort(risks):
        time, event = part["time"].to_numpy(), part["event"].to_numpy()
        for months in models[name]["horizons_months"]:
            risk = part[f"risk_{months:g}"].to_numpy()
            base = {"model": name, "cohort": cohort, "horizon_months": months}
            curve = or_reason(calibration_curve, time, event, risk, months).get("curve")
            if curve is not None:
                parts.append(curve.assign(**base, kind="curve"))
            groups = or_reason(calibration_groups, time, event, risk, months)
            if isinstance(groups, pd.DataFrame):
                parts.append(groups.assign(**base, kind="group"))
    columns = ["model", "cohort", "horizon_months", "kind", "predicted", "observed", "lower", "upper", "n"]
    return pd.concat([pd.DataFrame(columns=columns), *parts])[columns]


def net_benefit_table(risks: pd.DataFrame, models: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Net benefit over thresholds at every horizon, with `treat_all` and `treat_none` per cohort."""
    parts, seen = [], set()
    for name, cohort, part in by_model_and_cohort(risks):
        time, event = part["time"].to_numpy(), part["event"].to_numpy()
        for months in models[name]["horizons_months"]:
            table = net_benefit(time, event, part[f"risk_{months:g}"].to_numpy(), months, THRESHOLDS)
            curves = {name: table["net_benefit"]}
            if (cohort, months) not in seen:
                seen.add((cohort, months))
                curves |= {"treat_all": table["treat_all"], "treat_none": 0.0 * table["treat_all"]}
            for model, values in curves.items():
                columns = {"model": model, "cohort": cohort, "horizon_months": months, "threshold": THRESHOLDS}
                parts.append(pd.DataFrame(columns | {"net_benefit": np.asarray(values)}))
    return pd.concat(parts, ignore_index=True)


def comparisons(risks: pd.DataFrame) -> pd.DataFrame:
    """Paired two-sided differences of Harrell's C between models on the same patients; no p-value on training rows."""
    rows = []
    for cohort, part in risks.groupby("cohort", sort=False):
        lp = part.pivot(index="patient_id", columns="model", values="lp")
        first = part.drop_duplicates("patient_id").set_index("patient_id").loc[lp.index]
        time, event = first["time"].to_numpy(), first["event"].to_numpy()
        for a, b in PAIRS:
            if a in lp and b in lp:
                value = c_difference(time, event, lp[a].to_numpy(), lp[b].to_numpy())
                estimates = [value.get(key, np.nan) for key in ("estimate", "lower", "upper", "p")]
                if cohort == TRAIN:
                    estimates[-1] = np.nan  # no test on the rows that were fitted
                method = "infinitesimal jackknife, paired, two-sided"
                rows.append((apparent(cohort), a, b, "c_harrell", np.nan, *estimates, method))
    columns = [
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
    return pd.DataFrame(rows, columns=columns)


def survival_tables(risks: pd.DataFrame, horizons: list[float]) -> dict[str, pd.DataFrame]:
    """km, logrank and rates of the frozen risk groups per model and cohort, and of each cohort as a whole."""
    km, tests, rates = [], [], []
    whole = risks.drop_duplicates("patient_id").assign(model="all", group="all")
    for model, cohort, part in by_model_and_cohort(pd.concat([whole, risks])):
        base = {"model": model, "cohort": cohort}
        for group, rows in part.groupby("group"):
            time, event = rows["time"].to_numpy(), rows["event"].to_numpy()
            km.append(kaplan_meier(time, event).assign(**base, group=group))
            rates.append(survival_rates(time, event, horizons).assign(**base, group=group, n=len(rows)))
        if part["group"].nunique() > 1:
            test = logrank(part["time"], part["event"], part["group"])
            tests.append(
                base | {k: test[k] for k in ("chi2", "df", "p")} | {"n": len(part), "events": part["event"].sum()}
            )
    rates = [part.rename(columns={"horizon": "horizon_months"}) for part in rates]
    keys = ["model", "cohort", "group"]
    return {
        "km": pd.concat(km)[[*keys, "time", "survival", "lower", "upper", "n_risk", "n_event", "n_censor"]],
        "logrank": pd.DataFrame(tests, columns=["model", "cohort", "chi2", "df", "p", "n", "events"]),
        "rates": pd.concat(rates)[[*keys, "horizon_months", "survival", "lower", "upper", "n_risk", "n", "events"]],
    }
