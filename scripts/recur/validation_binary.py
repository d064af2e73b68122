"""Floor 7 of a binary endpoint: frozen logistic models judged in any cohort. Nothing here changes a risk.

As recur.validation, without time: every patient's outcome is known, so nothing is weighted. Calibration after Van
Calster et al. (BMC Med 2019); O/E after Debray et al. (BMJ 2017); decision curves after Vickers & Elkin (2006).

Everywhere: `event` (n,) 0/1, `risk` (n,) predicted probabilities. The tables have the columns of the survival ones,
with horizon_months empty.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from statsmodels.stats.proportion import proportion_confint

from recur.calibration import KNOT_QUANTILES, quantile_groups, restricted_cubic_spline
from recur.cli import progress
from recur.cox import NotEstimable
from recur.discrimination import blank
from recur.logistic import fit_logistic
from recur.roc import auc, auc_difference, roc_points
from recur.survival import Z95
from recur.training import TRAIN
from recur.validation import (
    COMPARISON_COLUMNS,
    PAIRS,
    PERFORMANCE_COLUMNS,
    THRESHOLD_STEP,
    apparent,
    by_model_and_cohort,
    or_reason,
)

NESTED = "train-nested_cv"
DRAWS = 500  # bootstrap draws of the patients of a nested cross-validation
FITTED = ("calibration_slope", "calibration_intercept", "oe_ratio")  # 1, 0 and 1 on the rows of a fit by likelihood
EXTREME = 1e-12  # a risk of exactly 0 or 1 has no logit
AT_CUT = {  # metric -> (counted, among) as (event, high) pairs; None is either
    "sensitivity": ((1, 1), (1, None)),
    "specificity": ((0, 0), (0, None)),
    "ppv": ((1, 1), (None, 1)),
    "npv": ((0, 0), (None, 0)),
}


def normal(estimate: float, se: float) -> dict:
    return {"estimate": float(estimate), "se": float(se), "lower": estimate - Z95 * se, "upper": estimate + Z95 * se}


def brier(event: np.ndarray, risk: np.ndarray) -> dict:
    """Mean squared error of the risks, with the normal interval of a mean."""
    error = (event - risk) ** 2
    return normal(error.mean(), error.std(ddof=1) / np.sqrt(len(error)))


def ipa(event: np.ndarray, risk: np.ndarray) -> dict:
    """1 - Brier score / that of the cohort's own share of events; interval by its influence function."""
    share, error = event.mean(), (event - risk) ** 2
    null = share * (1 - share)
    if null == 0:
        return blank("all patients have the same outcome")
    influence = -(error - error.mean()) / null + error.mean() / null**2 * (1 - 2 * share) * (event - share)
    return normal(1 - error.mean() / null, influence.std(ddof=1) / np.sqrt(len(error)))


def log_odds(risk: np.ndarray) -> np.ndarray:
    return logit(np.clip(risk, EXTREME, 1 - EXTREME))


def calibration_slope(event: np.ndarray, risk: np.ndarray) -> dict:
    """Coefficient of the log odds of the risk in a logistic model of this cohort; 1 is ideal."""
    if np.ptp(risk) < EXTREME:
        return blank("all predicted risks are equal")
    fitted = fit_logistic(log_odds(risk), event)
    return normal(fitted["coef"][0], fitted["se"][0])


def calibration_intercept(event: np.ndarray, risk: np.ndarray) -> dict:
    """Calibration in the large: the intercept beside the log odds as offset; 0 is ideal, above 0 risks are too low."""
    fitted = fit_logistic(np.zeros((len(risk), 0)), event, offset=log_odds(risk))
    return normal(fitted["intercept"], np.sqrt(fitted["covariance_full"][0, 0]))


def observed_expected(event: np.ndarray, risk: np.ndarray) -> dict:
    """Events over the sum of the risks; the log of it has the variance (1 - share) / events."""
    events, share = event.sum(), event.mean()
    if events == 0:
        return blank("no events")
    ratio, se = events / risk.sum(), np.sqrt((1 - share) / events)
    return {"estimate": ratio, "se": se, "lower": ratio * np.exp(-Z95 * se), "upper": ratio * np.exp(Z95 * se)}


def calibration_curve(event: np.ndarray, risk: np.ndarray) -> dict:
    """Smooth observed against predicted risk: dict(curve, ici, e50, e90).

    Logistic model on a restricted cubic spline (3 knots) of the log odds, a straight line where risks have few values;
    curve: predicted, observed, lower, upper at 100 points from the 1st to the 99th centile. Raises NotEstimable.
    """
    x = log_odds(risk)
    if np.ptp(x) < 1e-9:
        raise NotEstimable("all predicted risks are equal")
    at = np.unique(np.quantile(x, KNOT_QUANTILES[3]))
    straight = len(at) < 3 or len(np.unique(x)) <= 3

    def basis(values: np.ndarray) -> np.ndarray:
        return values[:, None] if straight else restricted_cubic_spline(values, at)

    fitted = fit_logistic(basis(x), event)
    whole = np.concatenate([[fitted["intercept"]], fitted["coef"]])
    observed = expit(np.column_stack([np.ones(len(x)), basis(x)]) @ whole)
    grid = np.linspace(*np.quantile(risk, [0.01, 0.99]), 100)
    design = np.column_stack([np.ones(100), basis(log_odds(grid))])
    half = Z95 * np.sqrt(np.einsum("ij,jk,ik->i", design, fitted["covariance_full"], design))
    middle, error = design @ whole, np.abs(observed - risk)
    limits = {"observed": expit(middle), "lower": expit(middle - half), "upper": expit(middle + half)}
    e50, e90 = np.quantile(error, [0.5, 0.9])
    return {"curve": pd.DataFrame({"predicted": grid} | limits), "ici": error.mean(), "e50": e50, "e90": e90}


def calibration_groups(event: np.ndarray, risk: np.ndarray, groups: int = 5) -> pd.DataFrame:
    """Observed share (Wilson) against mean risk in quantile_groups: predicted, observed, lower,
    upper, n.
    """
    index = quantile_groups(risk, groups)
    rows = []
    for group in np.unique(index):
        mine = index == group
        low, high = proportion_confint(event[mine].sum(), mine.sum(), method="wilson")
        rows.append((risk[mine].mean(), event[mine].mean(), low, high, int(mine.sum())))
    return pd.DataFrame(rows, columns=["predicted", "observed", "lower", "upper", "n"])


def at_cut(event: np.ndarray, high: np.ndarray) -> dict[str, tuple[int, int]]:
    """metric -> (counted, among) of sensitivity, specificity and predictive values of being above the cut-point."""

    def count(pair: tuple[int | None, int | None]) -> int:
        wanted, above = pair
        rows = np.ones(len(event), bool) if wanted is None else event == wanted
        return int((rows if above is None else rows & (high == above)).sum())

    return {metric: (count(counted), count(among)) for metric, (counted, among) in AT_CUT.items()}


def net_benefits(event: np.ndarray, risk: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Net benefit (m,) of treating those with a risk of the threshold or above, and of treating all."""
    odds = thresholds / (1 - thresholds)
    high = risk[:, None] >= thresholds
    gain = (high & (event == 1)[:, None]).mean(axis=0) - odds * (high & (event == 0)[:, None]).mean(axis=0)
    return gain, event.mean() - odds * (1 - event.mean())


# ---------------------------------------------------------------- tables


def measured(
    event: np.ndarray, risk: np.ndarray, rank: np.ndarray, group: np.ndarray
) -> list[tuple[str, str, dict[str, Any]]]:
    """(metric, method, estimate) of a model in a cohort; rank (n,) is what the AUC is of."""
    curve = or_reason(calibration_curve, event, risk)
    found = [
        ("auc", "DeLong", auc(event, rank)),
        ("brier", "mean squared error", brier(event, risk)),
        ("ipa", "1 - Brier / Brier of the cohort's share of events", ipa(event, risk)),
        ("calibration_slope", "logistic model on the log odds of the risk", or_reason(calibration_slope, event, risk)),
        ("calibration_intercept", "logistic model with the log odds as offset",
         or_reason(calibration_intercept, event, risk)),
        ("oe_ratio", "events / sum of risks", observed_expected(event, risk)),
    ]  # fmt: skip
    for metric in ("ici", "e50", "e90"):
        value = {"estimate": curve.get(metric, np.nan), "reason": curve.get("reason", "")}
        found.append((metric, "logistic model with a spline of the log odds", value))
    for metric, (counted, among) in at_cut(event, group == "high").items():
        if (group == "all").any():
            value = blank("the model has no cut-point")
        elif not among:
            value = blank("no patient to count")
        else:
            low, high = proportion_confint(counted, among, method="wilson")
            value = {"estimate": counted / among, "lower": low, "upper": high}
        found.append((metric, f"at the frozen cut-point, {counted}/{among}; Wilson", value))
    return found


def performance(risks: pd.DataFrame, rank: str = "risk") -> pd.DataFrame:
    """Discrimination (of the column `rank`), calibration and classification of every model in every cohort, one metric
    a row.
    """
    rows = []
    for model, cohort, part in by_model_and_cohort(risks):
        event, risk = part["event"].to_numpy(), part["risk"].to_numpy()
        for metric, method, value in measured(event, risk, part[rank].to_numpy(), part["group"].to_numpy()):
            reason = value.get("reason")
            rows.append(
                {"model": model, "cohort": apparent(cohort), "metric": metric, "horizon_months": np.nan}
                | {key: value.get(key, np.nan) for key in ("estimate", "lower", "upper")}
                | {"n": len(part), "events": int(event.sum())}
                | {"method": f"not estimated: {reason}" if reason else method}
            )
    return pd.DataFrame(rows, columns=PERFORMANCE_COLUMNS)


def with_nested(risks: pd.DataFrame, nested: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """(model, cohort, rows) of the risks table and of the nested predictions, whose patients stand once a repeat."""
    parts = [(model, apparent(cohort), part) for model, cohort, part in by_model_and_cohort(risks)]
    done = nested[nested["failed"].fillna("") == ""].astype({"risk": float})
    return parts + [(model, NESTED, part) for model, part in done.groupby("model", sort=False)]


def roc_curves(risks: pd.DataFrame, nested: pd.DataFrame) -> pd.DataFrame:
    """ROC curves: model, cohort, horizon_months (empty), fpr, tpr, threshold (of the risk)."""
    parts = []
    for model, cohort, part in with_nested(risks, nested):
        points = roc_points(part["event"].astype(int), part["risk"])
        points = points.assign(fpr=1 - points["specificity"], tpr=points["sensitivity"])
        parts.append(points.assign(model=model, cohort=cohort, horizon_months=np.nan))
    columns = ["model", "cohort", "horizon_months", "fpr", "tpr", "threshold"]
    return pd.concat([pd.DataFrame(columns=columns), *parts])[columns].replace([np.inf, -np.inf], np.nan)


def calibration_tables(risks: pd.DataFrame, nested: pd.DataFrame) -> pd.DataFrame:
    """Smooth and grouped calibration: kind `curve` or `group`; nested rows have no limits, being several a patient."""
    parts = []
    for model, cohort, part in with_nested(risks, nested):
        event, risk = part["event"].to_numpy().astype(int), part["risk"].to_numpy()
        curve = or_reason(calibration_curve, event, risk).get("curve")
        both = [("group", calibration_groups(event, risk)), *([("curve", curve)] if curve is not None else [])]
        for kind, table in both:
            limits = {"lower": np.nan, "upper": np.nan} if cohort == NESTED else {}
            parts.append(table.assign(**limits, model=model, cohort=cohort, horizon_months=np.nan, kind=kind))
    columns = ["model", "cohort", "horizon_months", "kind", "predicted", "observed", "lower", "upper", "n"]
    return pd.concat([pd.DataFrame(columns=columns), *parts])[columns]


def net_benefit_table(risks: pd.DataFrame, nested: pd.DataFrame, limits: tuple[float, float]) -> pd.DataFrame:
    """Net benefit from the lowest to the highest threshold, with `treat_all` and `treat_none` per cohort."""
    low, high = limits
    thresholds = np.linspace(low, high, round((high - low) / THRESHOLD_STEP) + 1)
    parts, seen = [], set()
    for model, cohort, part in with_nested(risks, nested):
        event, risk = part["event"].to_numpy().astype(int), part["risk"].to_numpy()
        gain, everybody = net_benefits(event, risk, thresholds)
        curves = {model: gain}
        if cohort not in seen:
            seen.add(cohort)
            curves |= {"treat_all": everybody, "treat_none": np.zeros(len(thresholds))}
        for name, values in curves.items():
            columns = {"model": name, "cohort": cohort, "horizon_months": np.nan, "threshold": thresholds}
            parts.append(pd.DataFrame(columns | {"net_benefit": values}))
    columns = ["model", "cohort", "horizon_months", "threshold", "net_benefit"]
    return pd.concat([pd.DataFrame(columns=columns), *parts], ignore_index=True)


def comparisons(risks: pd.DataFrame) -> pd.DataFrame:
    """Paired differences of AUC between models on the same patients (DeLong); no p-value on training rows, where
    DeLong's test is not valid (Demler et al., Stat Med 2012).
    """
    rows = []
    for cohort, part in risks.groupby("cohort", sort=False):
        risk = part.pivot(index="patient_id", columns="model", values="risk")
        event = part.drop_duplicates("patient_id").set_index("patient_id").loc[risk.index, "event"].to_numpy()
        for a, b in PAIRS:
            if a in risk and b in risk:
                value = auc_difference(event, risk[a].to_numpy(), risk[b].to_numpy())
                p = np.nan if cohort == TRAIN else value["p"]
                estimates = [value[key] for key in ("estimate", "lower", "upper")]
                rows.append((apparent(cohort), a, b, "auc", np.nan, *estimates, p, "DeLong, paired, two-sided"))
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)


# ---------------------------------------------------------------- nested cross-validation


def risk_estimates(event: np.ndarray, risk: np.ndarray) -> dict[str, float]:
    """The estimates that risks have without a cut-point, besides the AUC; NaN where there is none."""
    found = {"brier": brier, "ipa": ipa, "calibration_slope": calibration_slope,
             "calibration_intercept": calibration_intercept, "oe_ratio": observed_expected}  # fmt: skip
    return {metric: or_reason(function, event, risk).get("estimate", np.nan) for metric, function in found.items()}


def point_estimates(event: np.ndarray, risk: np.ndarray, high: np.ndarray, cut: bool) -> dict[str, float]:
    """The estimates of one repeat of the nested cross-validation; NaN where there is none."""
    shares = at_cut(event, high) if cut else {}
    return risk_estimates(event, risk) | {
        metric: counted / among if among else np.nan for metric, (counted, among) in shares.items()
    }


def nested_measures(nested: pd.DataFrame, seed: int) -> pd.DataFrame:
    """What nested predictions say besides the AUC (which compares patients of one fold only): calibration, error, and
    the classes by each fold's own cut-point; means over repeats, with a bootstrap interval over patients.
    """
    rows, done = [], nested[nested["failed"].fillna("") == ""].astype({"risk": float, "event": int})
    models = list(done.groupby("model", sort=False))
    for model, part in progress(models, len(models), "accuracy of the nested predictions", "models"):
        repeats = [own.sort_values("patient_id") for _, own in part.groupby("repeat")]
        patients = set(repeats[0]["patient_id"]).intersection(*(own["patient_id"] for own in repeats))
        repeats = [own[own["patient_id"].isin(patients)] for own in repeats]
        event = repeats[0]["event"].to_numpy()
        risk = [own["risk"].to_numpy() for own in repeats]
        high, cut = [(own["group"] == "high").to_numpy() for own in repeats], not part["group"].eq("all").any()

        def means(at: np.ndarray, event=event, risk=risk, high=high, cut=cut) -> dict[str, float]:
            each = [point_estimates(event[at], r[at], h[at], cut) for r, h in zip(risk, high, strict=True)]
            return pd.DataFrame(each).mean().to_dict()

        rng, n = np.random.default_rng([seed, 10]), len(event)
        drawn = pd.DataFrame([means(rng.integers(0, n, n)) for _ in range(DRAWS)])
        for metric, estimate in means(np.arange(n)).items():
            low, high_limit = drawn[metric].quantile([0.025, 0.975])
            rows.append(
                {"model": model, "cohort": NESTED, "metric": metric, "horizon_months": np.nan, "estimate": estimate}
                | {"lower": low, "upper": high_limit, "n": n, "events": int(event.sum())}
                | {"method": f"nested predictions, mean over {len(repeats)} repeats; bootstrap over patients"}
            )
    return pd.DataFrame(rows, columns=PERFORMANCE_COLUMNS)
