"""The tables that judge frozen models in every cohort, of outcomes in time and of binary ones alike.

A kind of outcome is a module with five functions of the rows of one model in one cohort: measures, roc, calibration,
net_benefit and differences (recur.validation.survival, recur.validation.binary). A binary outcome has one horizon, NaN.
An estimate that the data do not support is left blank, with the reason under `method`.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from recur.statistics.outcome import SURVIVAL, outcome_of
from recur.validation import binary, survival
from recur.validation.common import (
    COMPARISON_COLUMNS,
    PAIRS,
    PERFORMANCE_COLUMNS,
    THRESHOLD_STEP,
    Measure,
    by_model_and_cohort,
)
from recur.vocabulary import NESTED, TRAIN, apparent

Models = dict[str, dict[str, Any]]  # the frozen models of an analysis, by name
NO_TIME = [np.nan]  # the one horizon of a binary outcome


def family_of(risks: pd.DataFrame) -> ModuleType:
    """The module of the kind of outcome that a risks table has."""
    return survival if outcome_of(risks).kind == SURVIVAL else binary


def horizons_of(table: pd.DataFrame) -> list[float]:
    """The horizons (months) at which a table has risks, ascending."""
    return sorted(float(name.removeprefix("risk_")) for name in table if name.startswith("risk_"))


def horizons_of_model(model: dict[str, Any]) -> list[float]:
    """The horizons (months) of a frozen model; of a binary outcome the one, NaN."""
    return model.get("horizons_months") or NO_TIME


def places(risks: pd.DataFrame, nested: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(model, cohort, rows) of the risks table; of a binary outcome also of the nested predictions, whose patients
    stand once a repeat.
    """
    if family_of(risks) is survival:
        yield from by_model_and_cohort(risks)
        return
    for model, cohort, part in by_model_and_cohort(risks):
        yield model, apparent(cohort), part
    for model, part in binary.done(nested).groupby("model", sort=False):
        yield model, NESTED, part


def performance(risks: pd.DataFrame, models: Models, seed: int) -> pd.DataFrame:
    """Discrimination, calibration, prediction error and classification of every model in every cohort, one metric a
    row (PERFORMANCE_COLUMNS). The seed is that of the bootstrap under weights.
    """
    family, rows = family_of(risks), []
    for name, cohort, part in by_model_and_cohort(risks):
        size = {"n": len(part), "events": int(part["event"].sum())}
        for measure in family.measures(part, models[name], seed):
            row = {"model": name, "cohort": apparent(cohort), "metric": measure.metric}
            row |= {"horizon_months": measure.horizon_months, **estimates_of(measure), **size}
            reason = measure.value.get("reason")
            rows.append(row | {"method": f"not estimated: {reason}" if reason else measure.method})
    return pd.DataFrame(rows, columns=PERFORMANCE_COLUMNS)


def estimates_of(measure: Measure) -> dict[str, float]:
    return {key: measure.value.get(key, np.nan) for key in ("estimate", "lower", "upper")}


def roc_curves(risks: pd.DataFrame, models: Models, nested: pd.DataFrame) -> pd.DataFrame:
    """ROC curves at every horizon: model, cohort, horizon_months, fpr, tpr, threshold."""
    family, parts = family_of(risks), []
    for name, cohort, part in places(risks, nested):
        for months in horizons_of_model(models[name]):
            curve = family.roc(part, models[name], months)
            if curve is not None:
                parts.append(curve.assign(model=name, cohort=cohort, horizon_months=months))
    columns = ["model", "cohort", "horizon_months", "fpr", "tpr", "threshold"]
    return pd.concat([pd.DataFrame(columns=columns), *parts])[columns]


def calibration_tables(
    risks: pd.DataFrame, models: Models, nested: pd.DataFrame, nested_tables: list[pd.DataFrame]
) -> pd.DataFrame:
    """Smooth and grouped calibration at every horizon: kind `curve` or `group`.

    nested_tables: of an outcome in time, what resampling.internal_calibration.nested_calibration makes of the nested
    predictions. Nested rows have no limits, being several a patient.
    """
    family, parts = family_of(risks), []
    for name, cohort, part in places(risks, nested):
        for months in horizons_of_model(models[name]):
            for kind, table in family.calibration(part, models[name], months).items():
                limits = {"lower": np.nan, "upper": np.nan} if cohort == NESTED else {}
                place = {"model": name, "cohort": cohort, "horizon_months": months, "kind": kind}
                parts.append(table.assign(**limits, **place))
    columns = ["model", "cohort", "horizon_months", "kind", "predicted", "observed", "lower", "upper", "n"]
    return pd.concat([pd.DataFrame(columns=columns), *parts, *nested_tables])[columns]


def net_benefit_table(
    risks: pd.DataFrame, models: Models, nested: pd.DataFrame, limits: tuple[float, float]
) -> pd.DataFrame:
    """Net benefit from the lowest to the highest threshold at every horizon, with `treat_all` and `treat_none` per
    cohort; `reason` (of an outcome in time) says why a value is missing.
    """
    family, parts, seen = family_of(risks), [], set()
    low, high = limits
    thresholds = np.linspace(low, high, round((high - low) / THRESHOLD_STEP) + 1)
    for name, cohort, part in places(risks, nested):
        for months in horizons_of_model(models[name]):
            table = family.net_benefit(part, models[name], months, thresholds)
            curves = {name: (table["net_benefit"], table["reason"])}
            if "treat_all" in table and (cohort, str(months)) not in seen:
                seen.add((cohort, str(months)))
                curves["treat_all"] = table["treat_all"], table["reason_all"]
                curves["treat_none"] = 0.0 * table["treat_all"], table["reason_all"]
            for curve, (values, why) in curves.items():
                place = {"model": curve, "cohort": cohort, "horizon_months": months, "threshold": thresholds}
                values = pd.Series(np.asarray(values, float))
                parts.append(pd.DataFrame({**place, "net_benefit": values, "reason": why.where(values.isna(), "")}))
    columns = ["model", "cohort", "horizon_months", "threshold", "net_benefit"]
    columns += ["reason"] if family is survival else []
    return pd.concat([pd.DataFrame(columns=columns), *parts], ignore_index=True)[columns]


def comparisons(risks: pd.DataFrame, nested: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Paired two-sided differences between models on the same patients (COMPARISON_COLUMNS): no p-value on training
    rows, where such a test is not valid (Demler et al., Stat Med 2012).

    nested: predictions of training patients by models fitted without them (resampling.bootstrap.nested_columns), whose
    C are compared in cohort `train-nested_cv`, of an outcome in time.
    """
    family, horizons, rows = family_of(risks), horizons_of(risks), []
    for cohort, part in risks.groupby("cohort", sort=False):
        rows_of = {name: own.set_index("patient_id").sort_index() for name, own in part.groupby("model", sort=False)}
        for a, b in PAIRS:
            if a not in rows_of or b not in rows_of:
                continue
            # a stratified model leaves out strata that are new to it
            common = rows_of[a].index.intersection(rows_of[b].index)
            if not len(common):
                continue
            for measure in family.differences(rows_of[a].loc[common], rows_of[b].loc[common], horizons):
                p = np.nan if cohort == TRAIN else measure.value.get("p", np.nan)
                estimates = *estimates_of(measure).values(), p
                row = apparent(cohort), a, b, measure.metric, measure.horizon_months
                rows.append((*row, *estimates, measure.method))
    if family is survival:
        rows += survival.nested_differences(nested, horizons, seed)
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)
