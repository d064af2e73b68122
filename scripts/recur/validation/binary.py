"""Floor 7 of a binary endpoint: frozen logistic models judged in any cohort. Nothing here changes a risk.

As recur.validation.survival, without time. Calibration after Van Calster et al. (BMC Med 2019); O/E after Debray et
al. (BMJ 2017); decision curves after Vickers & Elkin (2006). An outcome at a horizon (column follow_up) is unknown of
those censored before it, and weighted by survival.censoring_weights of the evaluated rows: shares are Kaplan-Meier's or
Aalen-Johansen's, classes and net benefit those of Uno et al. (JASA 2007), the AUC that of Blanche et al. (Stat Med
2013), the Brier score Graf's (Stat Med 1999).

Everywhere: `event` (n,) 0/1, `risk` (n,) predicted probabilities, `weight` (n,) or None. Without weights estimates have
closed limits; under weights the AUC has (its influence function), the others are bootstrapped over patients with
weights of each draw. The tables have the columns of the survival ones, with horizon_months empty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from statsmodels.stats.proportion import proportion_confint

from recur.cli import progress
from recur.cohort.training import TRAIN
from recur.statistics.calibration import quantile_groups
from recur.statistics.estimate import Z95, NotEstimable, blank
from recur.statistics.ipcw import censoring_weights
from recur.statistics.logistic import fit_logistic
from recur.statistics.nested_concordance import common_repeats
from recur.statistics.outcome import binary_outcome, c_difference_of, c_of
from recur.statistics.roc import auc, auc_difference, roc_points
from recur.statistics.splines import KNOT_QUANTILES, restricted_cubic_spline
from recur.validation.survival import (
    COMPARISON_COLUMNS,
    PAIRS,
    PERFORMANCE_COLUMNS,
    THRESHOLD_STEP,
    apparent,
    by_model_and_cohort,
    or_reason,
)

NESTED = "train-nested_cv"
DRAWS = 500  # bootstrap draws of the patients of a nested cross-validation, or of a cohort with weights
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


def se_of_mean(values: np.ndarray, weight: np.ndarray | None) -> float:
    """Standard error of the mean of the values (n,); NaN under weights, whose own estimation it would leave out."""
    return values.std(ddof=1) / np.sqrt(len(values)) if weight is None else np.nan


def brier(event: np.ndarray, risk: np.ndarray, weight: np.ndarray | None = None) -> dict:
    """Mean squared error of the risks, with the normal interval of a mean."""
    error = (event - risk) ** 2
    return normal(np.average(error, weights=weight), se_of_mean(error, weight))


def ipa(event: np.ndarray, risk: np.ndarray, weight: np.ndarray | None = None) -> dict:
    """1 - Brier score / that of the cohort's own share of events; interval by its influence function."""
    share, error = np.average(event, weights=weight), (event - risk) ** 2
    null, mean = share * (1 - share), np.average(error, weights=weight)
    if null == 0:
        return blank("all patients have the same outcome")
    influence = -(error - mean) / null + mean / null**2 * (1 - 2 * share) * (event - share)
    return normal(1 - mean / null, se_of_mean(influence, weight))


def log_odds(risk: np.ndarray) -> np.ndarray:
    return logit(np.clip(risk, EXTREME, 1 - EXTREME))


def calibration_slope(event: np.ndarray, risk: np.ndarray, weight: np.ndarray | None = None) -> dict:
    """Coefficient of the log odds of the risk in a logistic model of this cohort; 1 is ideal."""
    if np.ptp(risk) < EXTREME:
        return blank("all predicted risks are equal")
    fitted = fit_logistic(log_odds(risk), event, weight=weight)
    return normal(fitted["coef"][0], fitted["se"][0])


def calibration_intercept(event: np.ndarray, risk: np.ndarray, weight: np.ndarray | None = None) -> dict:
    """Calibration in the large: the intercept beside the log odds as offset; 0 is ideal, above 0 risks are too low."""
    fitted = fit_logistic(np.zeros((len(risk), 0)), event, offset=log_odds(risk), weight=weight)
    return normal(fitted["intercept"], np.sqrt(fitted["covariance_full"][0, 0]))


def observed_expected(event: np.ndarray, risk: np.ndarray, weight: np.ndarray | None = None) -> dict:
    """Events over the sum of everybody's risks; the log of it has the variance (1 - share) / events."""
    share = np.average(event, weights=weight)
    events = event.sum() if weight is None else share * len(event)
    if events == 0:
        return blank("no events")
    ratio, se = events / risk.sum(), np.sqrt((1 - share) / events) if weight is None else np.nan
    return {"estimate": ratio, "se": se, "lower": ratio * np.exp(-Z95 * se), "upper": ratio * np.exp(Z95 * se)}


def calibration_curve(event: np.ndarray, risk: np.ndarray, weight: np.ndarray | None = None) -> dict:
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

    fitted = fit_logistic(basis(x), event, weight=weight)
    whole = np.concatenate([[fitted["intercept"]], fitted["coef"]])
    observed = expit(np.column_stack([np.ones(len(x)), basis(x)]) @ whole)
    grid = np.linspace(*np.quantile(risk, [0.01, 0.99]), 100)
    design = np.column_stack([np.ones(100), basis(log_odds(grid))])
    half = Z95 * np.sqrt(np.einsum("ij,jk,ik->i", design, fitted["covariance_full"], design))
    middle, error = design @ whole, np.abs(observed - risk)
    limits = {"observed": expit(middle), "lower": expit(middle - half), "upper": expit(middle + half)}
    e50, e90 = np.quantile(error, [0.5, 0.9])
    return {"curve": pd.DataFrame({"predicted": grid} | limits), "ici": error.mean(), "e50": e50, "e90": e90}


def calibration_groups(
    event: np.ndarray, risk: np.ndarray, weight: np.ndarray | None = None, groups: int = 5
) -> pd.DataFrame:
    """Observed share (Wilson; under weights of the effective number, Kish's) against mean risk in quantile_groups:
    predicted, observed, lower, upper, n.
    """
    index = quantile_groups(risk, groups)
    rows = []
    for group in np.unique(index):
        mine = index == group
        own = np.ones(mine.sum()) if weight is None else weight[mine]
        if not own.any():
            rows.append((risk[mine].mean(), np.nan, np.nan, np.nan, int(mine.sum())))
            continue
        events, scale = (own * event[mine]).sum(), own.sum() / (own**2).sum()
        low, high = proportion_confint(events * scale, own.sum() * scale, method="wilson")
        rows.append((risk[mine].mean(), events / own.sum(), low, high, int(mine.sum())))
    return pd.DataFrame(rows, columns=["predicted", "observed", "lower", "upper", "n"])


def at_cut(event: np.ndarray, high: np.ndarray, weight: np.ndarray | None = None) -> dict[str, tuple[float, float]]:
    """metric -> (counted, among) of sensitivity, specificity and predictive values of being above the cut-point:
    patients, or sums of weights.
    """

    def count(pair: tuple[int | None, int | None]) -> float:
        wanted, above = pair
        rows = np.ones(len(event), bool) if wanted is None else event == wanted
        rows = rows if above is None else rows & (high == above)
        return int(rows.sum()) if weight is None else float(weight[rows].sum())

    return {metric: (count(counted), count(among)) for metric, (counted, among) in AT_CUT.items()}


def net_benefits(
    event: np.ndarray, risk: np.ndarray, thresholds: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Net benefit (m,) of treating those with a risk of the threshold or above, and of treating all."""
    odds = thresholds / (1 - thresholds)
    high = risk[:, None] >= thresholds
    right, wrong = (np.average(high & (event == c)[:, None], axis=0, weights=weight) for c in (1, 0))
    share = np.average(event, weights=weight)
    return right - odds * wrong, share - odds * (1 - share)


# ---------------------------------------------------------------- tables


def auc_of(part: pd.DataFrame, rank: np.ndarray) -> tuple[str, dict[str, Any]]:
    """Method, and AUC of a score (n,) of the rows with its limits."""
    if "follow_up" in part:
        return "cumulative/dynamic at the horizon; influence function", c_of(part, rank)
    return "DeLong", auc(part["event"].to_numpy(), rank)


def auc_difference_of(part: pd.DataFrame, a: np.ndarray, b: np.ndarray) -> tuple[str, dict[str, Any]]:
    """Method, and AUC of score a (n,) of the rows less that of b."""
    if "follow_up" in part:
        return "cumulative/dynamic at the horizon; influence function, paired, two-sided", c_difference_of(part, a, b)
    return "DeLong, paired, two-sided", auc_difference(part["event"].to_numpy(), a, b)


def reweighted(part: pd.DataFrame) -> Callable[[np.ndarray], np.ndarray | None]:
    """Row indices -> the weights that a draw of these rows has on its own; None where nothing is weighted."""
    if "follow_up" not in part:
        return lambda at: None
    follow_up, known = part["follow_up"].to_numpy(float), part["event"].notna().to_numpy()
    return lambda at: censoring_weights(follow_up[at], known[at])


def bootstrapped(part: pd.DataFrame, seed: int) -> pd.DataFrame:
    """95 % limits (lower, upper) of point_estimates in a cohort with weights, by metric."""
    event, _ = binary_outcome(part)
    risk, high = part["risk"].to_numpy(), (part["group"] == "high").to_numpy()
    weights, cut, n = reweighted(part), not part["group"].eq("all").any(), len(part)
    rng, drawn = np.random.default_rng([seed, 11]), []
    for _ in range(DRAWS):
        at = rng.integers(0, n, n)
        drawn.append(point_estimates(event[at], risk[at], high[at], cut, weights(at)))
    limits = pd.DataFrame(drawn).quantile([0.025, 0.975]).set_axis(["lower", "upper"]).T
    # one risk for all is at best the null model: the draws of its IPA lie on one side of 0 and give no interval
    return limits.drop("ipa") if np.ptp(risk) < EXTREME else limits


def measured(part: pd.DataFrame, rank: np.ndarray, seed: int) -> list[tuple[str, str, dict[str, Any]]]:
    """(metric, method, estimate) of a model in a cohort; rank (n,) is what the AUC is of."""
    risk, group = part["risk"].to_numpy(), part["group"].to_numpy()
    event, weight = binary_outcome(part)
    curve = or_reason(calibration_curve, event, risk, weight)
    found = [
        ("auc", *auc_of(part, rank)),
        ("brier", "mean squared error", brier(event, risk, weight)),
        ("ipa", "1 - Brier / Brier of the cohort's share of events", ipa(event, risk, weight)),
        ("calibration_slope", "logistic model on the log odds of the risk",
         or_reason(calibration_slope, event, risk, weight)),
        ("calibration_intercept", "logistic model with the log odds as offset",
         or_reason(calibration_intercept, event, risk, weight)),
        ("oe_ratio", "events / sum of risks", observed_expected(event, risk, weight)),
    ]  # fmt: skip
    for metric in ("ici", "e50", "e90"):
        value = {"estimate": curve.get(metric, np.nan), "reason": curve.get("reason", "")}
        found.append((metric, "logistic model with a spline of the log odds", value))
    for metric, (counted, among) in at_cut(event, group == "high", weight).items():
        counts = f"{counted}/{among}; Wilson"
        if (group == "all").any():
            value = blank("the model has no cut-point")
        elif not among:
            value = blank("no patient to count")
        elif weight is not None:
            counts, value = f"{counted:.1f}/{among:.1f}", {"estimate": counted / among}
        else:
            low, high = proportion_confint(counted, among, method="wilson")
            value = {"estimate": counted / among, "lower": low, "upper": high}
        found.append((metric, f"at the frozen cut-point, {counts}", value))
    return found if weight is None else with_limits(found, bootstrapped(part, seed), weight)


def with_limits(
    found: list[tuple[str, str, dict[str, Any]]], limits: pd.DataFrame, weight: np.ndarray
) -> list[tuple[str, str, dict[str, Any]]]:
    """The estimates under weights with the limits of `bootstrapped`, and methods that say so."""
    result, weighted = [], f"weighted for {int((weight == 0).sum())} censored before the horizon"
    for metric, method, value in found:
        if metric in limits.index:
            method = f"{method}; bootstrap over patients, weights of each draw"
            value = value | limits.loc[metric].to_dict()
        result.append((metric, f"{method}; {weighted}", value))
    return result


def performance(risks: pd.DataFrame, seed: int, rank: str = "risk") -> pd.DataFrame:
    """Discrimination (of the column `rank`), calibration and classification of every model in every cohort, one metric
    a row. The seed is that of the bootstrap under weights.
    """
    rows = []
    for model, cohort, part in by_model_and_cohort(risks):
        for metric, method, value in measured(part, part[rank].to_numpy(), seed):
            reason = value.get("reason")
            rows.append(
                {"model": model, "cohort": apparent(cohort), "metric": metric, "horizon_months": np.nan}
                | {key: value.get(key, np.nan) for key in ("estimate", "lower", "upper")}
                | {"n": len(part), "events": int(part["event"].sum())}
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
        event, weight = binary_outcome(part)
        points = roc_points(event, part["risk"], weight)
        points = points.assign(fpr=1 - points["specificity"], tpr=points["sensitivity"])
        parts.append(points.assign(model=model, cohort=cohort, horizon_months=np.nan))
    columns = ["model", "cohort", "horizon_months", "fpr", "tpr", "threshold"]
    return pd.concat([pd.DataFrame(columns=columns), *parts])[columns].replace([np.inf, -np.inf], np.nan)


def calibration_tables(risks: pd.DataFrame, nested: pd.DataFrame) -> pd.DataFrame:
    """Smooth and grouped calibration: kind `curve` or `group`; nested rows have no limits, being several a patient."""
    parts = []
    for model, cohort, part in with_nested(risks, nested):
        (event, weight), risk = binary_outcome(part), part["risk"].to_numpy()
        curve = or_reason(calibration_curve, event, risk, weight).get("curve")
        both = [("group", calibration_groups(event, risk, weight)), *([("curve", curve)] if curve is not None else [])]
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
        (event, weight), risk = binary_outcome(part), part["risk"].to_numpy()
        gain, everybody = net_benefits(event, risk, thresholds, weight)
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
    """Paired differences of AUC between models on the same patients (DeLong; under weights the influence function); no
    p-value on training rows, where such a test is not valid (Demler et al., Stat Med 2012).
    """
    rows = []
    for cohort, part in risks.groupby("cohort", sort=False):
        risk = part.pivot(index="patient_id", columns="model", values="risk")
        patients = part.drop_duplicates("patient_id").set_index("patient_id").loc[risk.index]
        for a, b in PAIRS:
            if a in risk and b in risk:
                method, value = auc_difference_of(patients, risk[a].to_numpy(), risk[b].to_numpy())
                p = np.nan if cohort == TRAIN else value["p"]
                estimates = [value[key] for key in ("estimate", "lower", "upper")]
                rows.append((apparent(cohort), a, b, "auc", np.nan, *estimates, p, method))
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)


# ---------------------------------------------------------------- nested cross-validation


def risk_estimates(event: np.ndarray, risk: np.ndarray, weight: np.ndarray | None = None) -> dict[str, float]:
    """The estimates that risks have without a cut-point, besides the AUC; NaN where there is none."""
    found = {"brier": brier, "ipa": ipa, "calibration_slope": calibration_slope,
             "calibration_intercept": calibration_intercept, "oe_ratio": observed_expected}  # fmt: skip
    if weight is not None and not weight.any():  # a draw without a known outcome
        return dict.fromkeys(found, np.nan)
    return {
        metric: or_reason(function, event, risk, weight).get("estimate", np.nan) for metric, function in found.items()
    }


def point_estimates(
    event: np.ndarray, risk: np.ndarray, high: np.ndarray, cut: bool, weight: np.ndarray | None = None
) -> dict[str, float]:
    """The estimates of one repeat of the nested cross-validation, or of a draw; NaN where there is none."""
    shares = at_cut(event, high, weight) if cut else {}
    return risk_estimates(event, risk, weight) | {
        metric: counted / among if among else np.nan for metric, (counted, among) in shares.items()
    }


def nested_measures(nested: pd.DataFrame, seed: int) -> pd.DataFrame:
    """What nested predictions say besides the AUC (which compares patients of one fold only): calibration, error, and
    the classes by each fold's own cut-point; means over repeats, with a bootstrap interval over patients.
    """
    rows, done = [], nested[nested["failed"].fillna("") == ""].astype({"risk": float})
    models = list(done.groupby("model", sort=False))
    anew = ", weights of each draw" if "follow_up" in done else ""
    for model, part in progress(models, len(models), "accuracy of the nested predictions", "models"):
        repeats = common_repeats(part)
        (event, _), weights = binary_outcome(repeats[0]), reweighted(repeats[0])
        risk = [own["risk"].to_numpy() for own in repeats]
        high, cut = [(own["group"] == "high").to_numpy() for own in repeats], not part["group"].eq("all").any()

        def means(at: np.ndarray, event=event, risk=risk, high=high, cut=cut, weights=weights) -> dict[str, float]:
            own = weights(at)
            each = [point_estimates(event[at], r[at], h[at], cut, own) for r, h in zip(risk, high, strict=True)]
            return pd.DataFrame(each).mean().to_dict()

        rng, n = np.random.default_rng([seed, 10]), len(event)
        drawn = pd.DataFrame([means(rng.integers(0, n, n)) for _ in range(DRAWS)])
        for metric, estimate in means(np.arange(n)).items():
            low, high_limit = drawn[metric].quantile([0.025, 0.975])
            rows.append(
                {"model": model, "cohort": NESTED, "metric": metric, "horizon_months": np.nan, "estimate": estimate}
                | {"lower": low, "upper": high_limit, "n": n, "events": int(event.sum())}
                | {"method": f"nested predictions, mean over {len(repeats)} repeats; bootstrap over patients{anew}"}
            )
    return pd.DataFrame(rows, columns=PERFORMANCE_COLUMNS)
