"""Calibration and error of risks at horizons in training patients that a model was not fitted on.

Nested predictions of an outcome in time, and the models of resamples; of a binary outcome see recur.validation.binary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.cli import progress
from recur.statistics.calibration import calibration_curve, calibration_groups
from recur.statistics.competing import c_competing
from recur.statistics.estimate import MIN_VALID, no_horizon, or_reason
from recur.statistics.nested_concordance import common_repeats, nested_c_competing
from recur.statistics.outcome import outcome_of
from recur.statistics.risk_draws import Measures, drawn_outcomes, risk_measures
from recur.validation.binary import DRAWS
from recur.validation.common import PERFORMANCE_COLUMNS, fitted_rows
from recur.validation.tables import horizons_of
from recur.vocabulary import NESTED

NEEDS_MORE_FOLLOW_UP = ("brier", "ipa")  # than up to the horizon
METHODS = {
    "calibration_slope": "Cox model on the linear predictor",
    "brier": "IPCW",
    "ipa": "1 - Brier / Brier of Kaplan-Meier",
    "oe_ratio": "Kaplan-Meier / mean risk",
}
COMPETING_METHODS = {
    "calibration_slope": "Fine-Gray model on cloglog of the risk at the last horizon",
    "brier": "IPCW; deaths are free of the event",
    "ipa": "1 - Brier / Brier of Aalen-Johansen",
    "oe_ratio": "Aalen-Johansen / mean risk",
}


def place_measures(frame: pd.DataFrame) -> dict[str, float]:
    """Column of measure_column -> estimate of the rows of a risks table: one model in one place, each row a patient.

    Slope, Brier score, IPA, O/E; with a competing event also Wolbers' C. NaN where there is no estimate.
    """
    outcome = outcome_of(frame)
    risks = {months: frame[f"risk_{months:g}"].to_numpy() for months in horizons_of(frame)}
    measures = risk_measures(drawn_outcomes(outcome), frame["lp"].to_numpy(), risks)
    estimates = {
        measure_column(metric, months): np.nan if unsupported(frame, metric, months) else float(values[0])
        for (metric, months), values in measures.items()
    }
    if outcome.competing is not None:
        last = max(risks)
        known = np.isfinite(risks[last]).all()
        value = np.nan
        if known:
            value = c_competing(outcome.time, outcome.event, outcome.competing, risks[last], last)[0]["estimate"]
        estimates[measure_column("c_competing", last)] = value
    return estimates


def measure_column(metric: str, months: float | None) -> str:
    """Name of a measure in the columns of resamples: `<metric>` or `<metric>_<months>`."""
    if months is None or np.isnan(months):
        return metric
    return f"{metric}_{months:g}"


def unsupported(frame: pd.DataFrame, metric: str, months: float | None) -> str:
    """Why these rows have no such estimate at the horizon; empty where they may have."""
    if months is None:
        return ""
    outcome = outcome_of(frame)
    return no_horizon(outcome.time, outcome.event.astype(bool), months, beyond=metric in NEEDS_MORE_FOLLOW_UP)


def nested_measures(nested: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Calibration and error of the nested predictions (PERFORMANCE_COLUMNS): means over repeats, with a bootstrap
    interval over patients; with a competing event also Wolbers' C over the pairs within a fold.

    Risks of all folds of a repeat are judged together; those of one patient never by a model that saw the patient.
    """
    rows: list[dict[str, Any]] = []
    models = list(fitted_rows(nested).groupby("model", sort=False))
    for model, part in progress(models, len(models), "calibration of the nested predictions", "models"):
        repeats = common_repeats(part)
        first = repeats[0]
        base = {"model": model, "cohort": NESTED, "n": len(first), "events": int(first["event"].sum())}
        rows += [base | row for row in calibration_rows(repeats, seed)]
        if "competing" in first:
            rows.append(base | wolbers_row(part, max(horizons_of(part)), seed))
    return pd.DataFrame(rows, columns=PERFORMANCE_COLUMNS)


def calibration_rows(repeats: list[pd.DataFrame], seed: int) -> list[dict[str, Any]]:
    """metric, horizon_months, estimate, lower, upper, method of one model's nested predictions."""
    first = repeats[0]
    n = len(repeats[0])
    if "competing" not in first:
        methods = METHODS
    else:
        methods = COMPETING_METHODS
    estimates = {key: float(values[0]) for key, values in mean_measures(repeats, None).items()}
    drawn = np.random.default_rng([seed, 10]).integers(0, n, (DRAWS, n))
    size = max(1, 2**20 // n)  # draws held in memory at once
    parts = [mean_measures(repeats, drawn[i : i + size]) for i in range(0, DRAWS, size)]
    rows = []
    for (metric, months), estimate in estimates.items():
        values = np.concatenate([part[metric, months] for part in parts])
        values = values[np.isfinite(values)]
        row = {"metric": metric, "horizon_months": np.nan if months is None else months}
        reason = unsupported(first, metric, months) or ("" if np.isfinite(estimate) else "not estimable in a repeat")
        if reason:
            rows.append(row | {"estimate": np.nan, "method": f"not estimated: {reason}"})
            continue
        lower, upper = np.quantile(values, [0.025, 0.975]) if len(values) >= MIN_VALID * DRAWS else (np.nan, np.nan)
        method = f"{methods[metric]}; nested predictions, mean over {len(repeats)} repeats; bootstrap over patients"
        rows.append(row | {"estimate": estimate, "lower": lower, "upper": upper, "method": method})
    return rows


def mean_measures(repeats: list[pd.DataFrame], drawn: np.ndarray | None) -> Measures:
    """risk_measures of draws (D, n) of the patients (as they are without), means over the repeats."""
    first = repeats[0]
    weight = None
    if drawn is not None:
        weight = np.array([np.bincount(rows, minlength=len(first)) for rows in drawn])
    outcomes = drawn_outcomes(outcome_of(first), weight)
    of_repeats = []
    for repeat in repeats:
        risks = {months: repeat[f"risk_{months:g}"].to_numpy(float) for months in horizons_of(repeat)}
        of_repeats.append(risk_measures(outcomes, repeat["lp"].to_numpy(float), risks))
    return {key: np.mean([measures[key] for measures in of_repeats], axis=0) for key in of_repeats[0]}


def wolbers_row(part: pd.DataFrame, tau: float, seed: int) -> dict[str, Any]:
    """c_competing of one model's nested predictions: metric, horizon_months, estimate, lower, upper, method."""
    row = {"metric": "c_competing", "horizon_months": tau}
    reason = unsupported(part.drop_duplicates("patient_id"), "c_competing", tau)
    if part[f"risk_{tau:g}"].isna().any():
        reason = "the training follow-up of a fold ends before the horizon"
    if reason:
        return row | {"estimate": np.nan, "method": f"not estimated: {reason}"}
    estimate, draws = nested_c_competing(part, f"risk_{tau:g}", tau, np.random.default_rng([seed, 5]))
    lower, upper = np.nanquantile(draws, [0.025, 0.975])
    method = "Wolbers, IPCW, truncated at the horizon; nested predictions, pairs within folds; bootstrap over patients"
    return row | {"estimate": estimate, "lower": lower, "upper": upper, "method": f"{method}, weights of each draw"}


def nested_calibration(nested: pd.DataFrame) -> list[pd.DataFrame]:
    """Calibration of nested predictions as validation.calibration_tables: curves (means over the repeats) and groups
    (all repeats together) at every horizon; without limits, a patient being there once a repeat.
    """
    parts = []
    for model, part in fitted_rows(nested).groupby("model", sort=False):
        repeats = common_repeats(part)
        for months in horizons_of(part):
            together = pd.concat(repeats)
            risk = together[f"risk_{months:g}"].to_numpy(float)
            if np.isnan(risk).any() or unsupported(repeats[0], "oe_ratio", months):
                continue
            base = {"model": model, "cohort": NESTED, "horizon_months": months, "lower": np.nan, "upper": np.nan}
            outcome = outcome_of(together)
            groups = calibration_groups(outcome.time, outcome.event, risk, months, competing=outcome.competing)
            parts.append(groups.assign(**base, kind="group"))
            curve = mean_curve(repeats, risk, months)
            if curve is not None:
                parts.append(curve.assign(**base, kind="curve"))
    return parts


def mean_curve(repeats: list[pd.DataFrame], risk: np.ndarray, months: float) -> pd.DataFrame | None:
    """Smooth calibration (predicted, observed) over the range of all risks, mean over repeats; None if a repeat has
    none.
    """
    grid = np.linspace(*np.quantile(risk, [0.01, 0.99]), 100)
    observed = []
    for repeat in repeats:
        outcome = outcome_of(repeat)
        judged = outcome.time, outcome.event, repeat[f"risk_{months:g}"].to_numpy(float), months
        curve = or_reason(calibration_curve, *judged, grid=grid, competing=outcome.competing).get("curve")
        if curve is None:
            return None
        observed.append(curve["observed"].to_numpy())
    return pd.DataFrame({"predicted": grid, "observed": np.mean(observed, axis=0)})
