"""The published coefficients of an analysis: univariable, multivariable, and refitted where cells are missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from recur.cohort.training import Training
from recur.fit.design import designs_of, imputed_terms
from recur.fit.imputation import imputations
from recur.fit.regression import PENALTIES, fit_columns, pooled_or_blank
from recur.fit.selection import term_groups
from recur.fit.strata import with_strata
from recur.predict.design import design
from recur.predict.model import (
    applied_design,
    complete_cases,
)
from recur.statistics import logistic, penalised
from recur.statistics.cox import term_test, wald_test
from recur.statistics.estimate import PROFILE, SANDWICH, WALD
from recur.statistics.linear_predictor import clinical_terms
from recur.statistics.outcome import BINARY

COEFFICIENT_COLUMNS = [
    "model", "stage", "term", "label", "coef", "se", "hr", "lower", "upper", "p", "p_term", "n", "events", "method",
    "likelihood", "limits",
]  # fmt: skip
ODDS_COLUMNS = [*COEFFICIENT_COLUMNS[:6], "or", *COEFFICIENT_COLUMNS[7:]]  # of logistic models

JointTests = dict[tuple[str, str, str], float]  # model, stage, column -> p of all columns of its term


def coefficient_table(
    train: Training, score: np.ndarray | None, models: dict[str, Any], settings: dict[str, Any], seed: int
) -> pd.DataFrame:
    """Univariable models of every candidate and the multivariable models, one row a column (COEFFICIENT_COLUMNS, of a
    binary outcome ODDS_COLUMNS); where cells are missing, also the same multivariable models over outcome-informed
    imputations and on complete cases. Penalised estimates have limits and p by their profile.

    All columns of a term are fitted together, so that each level stands against the reference; p_term tests all of them
    (cox.term_test). An interaction has no model of its own without its terms, and no univariable row.
    """
    terms = settings["candidates"]["pre"] + settings["candidates"]["post"]
    designs, _, columns, _ = designs_of(train, terms, score, settings, imputed_terms(train, terms, settings, seed))
    together = {t: at for t, at in term_groups(columns).items() if columns[at[0]]["kind"] != "interaction"}
    rows, joint = univariable_rows(designs, columns, list(together.values()), train, settings)
    of_models, joint_of_models = multivariable_rows(models, train)
    rows += of_models
    for name, model in models.items():
        rows += missing_data_rows(name, model, train, score, settings, seed)
    table = with_wald_limits(rows, joint | joint_of_models, train)
    fitted_on = {
        ("", columns[j]["name"]): ([columns[k] for k in at], designs[0][:, at], train)
        for at in together.values()
        for j in at
    }
    for name, model in models.items():
        rows_of_model = train
        if "strata" in model:
            rows_of_model = with_strata(train, settings)
        x = applied_design(model, train.clinical, score)
        fitted_on |= {(name, column["name"]): (model["terms"], x, rows_of_model) for column in model["terms"]}
    for i in table.index[table["likelihood"].isin(PENALTIES.values())]:
        fit_of_row = fitted_on[table.loc[i, "model"], table.loc[i, "term"]]
        profiled = table.loc[i, "stage"] in ("univariable", "multivariable") and len(designs) == 1
        table.loc[i] = penalised_row(table.loc[i].copy(), *fit_of_row, profiled)
    return table[ODDS_COLUMNS if train.outcome.kind == BINARY else COEFFICIENT_COLUMNS]


def univariable_rows(
    designs: list[np.ndarray],
    columns: list[dict[str, Any]],
    groups: list[list[int]],
    train: Training,
    settings: dict[str, Any],
) -> tuple[list[tuple], JointTests]:
    """A row a column of the models of one term each (groups: the places of its columns), and the terms' joint tests."""
    size = len(train.patient_id), int(train.outcome.event.sum())
    rows = []
    joint: JointTests = {}
    for at in groups:
        single = pooled_or_blank([x[:, at] for x in designs], train, settings)
        for i, j in enumerate(at):
            values = single["coef"][i], single["se"][i]
            rows.append(("", "univariable", columns[j], *values, *size, single["method"]))
            joint["", "univariable", columns[j]["name"]] = term_p(single, range(len(at)))
    return rows, joint


def multivariable_rows(models: dict[str, Any], train: Training) -> tuple[list[tuple], JointTests]:
    """A row a column of the frozen models, and the joint tests of their terms."""
    size = len(train.patient_id), int(train.outcome.event.sum())
    rows = []
    joint: JointTests = {}
    for name, model in models.items():
        for column in model["terms"]:
            values = column["coef"], column["se"]
            rows.append((name, "multivariable", column, *values, *size, model["likelihood"]))
        fitted = {"coef": np.array([column["coef"] for column in model["terms"]]), "covariance": model["covariance"]}
        for at in term_groups(model["terms"]).values():
            for j in at:
                joint[name, "multivariable", model["terms"][j]["name"]] = term_p(fitted, at)
    return rows, joint


def with_wald_limits(rows: list[tuple], joint: JointTests, train: Training) -> pd.DataFrame:
    """The rows as a table: ratios with Wald limits and p-values, and what the limits rest on."""
    names = [*COEFFICIENT_COLUMNS[:6], "n", "events", "method"]
    table = pd.DataFrame([(m, stage, c["name"], c["label"], *rest) for m, stage, c, *rest in rows], columns=names)
    ratio = "or" if train.outcome.kind == BINARY else "hr"
    half = norm.ppf(0.975) * table["se"]
    table[ratio] = np.exp(table["coef"])
    table["lower"] = np.exp(table["coef"] - half)
    table["upper"] = np.exp(table["coef"] + half)
    table["p"] = 2 * norm.sf(np.abs(table["coef"] / table["se"]))
    keys = zip(table["model"], table["stage"], table["term"], strict=True)
    table["p_term"] = [joint.get(key, np.nan) for key in keys]
    # method says it in words; of a model that cannot be estimated it says why
    table["likelihood"] = table["method"].where(table["method"].isin([logistic.ML, *PENALTIES.values()]))
    limits = WALD if train.outcome.weight is None else SANDWICH
    table["limits"] = np.where(table["likelihood"].notna(), limits, None)
    if train.outcome.weight is not None:
        table["method"] = table["method"].replace(logistic.ML, f"{logistic.ML}, weighted; sandwich errors")
    return table


def penalised_row(
    row: pd.Series, columns: list[dict[str, Any]], x: np.ndarray, train: Training, profiled: bool
) -> pd.Series:
    """A row of coefficient_table with the limits and p-values of a penalised estimate: by the profile of the model on
    the columns x (n, p), or Wald's of one that is pooled or fitted on other rows.
    """
    method = row["likelihood"]
    if train.outcome.weight is not None:
        # neither a sandwich nor a profile is known to hold for a penalised, weighted likelihood
        row[["se", "lower", "upper", "p", "p_term"]] = np.nan
        row["limits"] = None
        row["method"] = f"{method}, weighted: no valid limits known"
        return row
    if not profiled:
        row["method"] = f"{method}; Wald limits"
        return row
    j = [column["name"] for column in columns].index(row["term"])
    at = [k for k, column in enumerate(columns) if column["term"] == columns[j]["term"]]
    if train.outcome.kind == BINARY:
        low, high, p = logistic.profile_interval(x, train.outcome.event, j, method)
    else:
        low, high, p = penalised.profile_interval(
            penalised.problem_of(x, train.outcome.time, train.outcome.event, method, train.strata), j
        )
    row[["lower", "upper", "p"]] = np.exp(low), np.exp(high), p
    if len(at) == 1:
        row["p_term"] = p
    else:
        row["p_term"] = term_test(fit_columns(x, train, method), at)["p"]
    row["method"] = f"{method}; profile penalised likelihood"
    row["limits"] = PROFILE
    return row


def term_p(fitted: dict[str, Any], at: Iterable[int]) -> float:
    """Wald p-value of the columns `at` of a fit together; NaN where there is none."""
    at = list(at)
    coef = np.asarray(fitted["coef"], float)[at]
    if "covariance" not in fitted or not np.isfinite(coef).all():
        return float("nan")
    covariance = np.asarray(fitted["covariance"], float)[np.ix_(at, at)]
    if not np.isfinite(covariance).all() or not (np.diag(covariance) > 0).all():
        return float("nan")
    return wald_test(coef, covariance)["p"]


def missing_data_rows(
    name: str,
    model: dict[str, Any],
    train: Training,
    score: np.ndarray | None,
    settings: dict[str, Any],
    seed: int,
) -> list[tuple]:
    """Coefficient rows of the model's own terms, refitted in two other ways where cells are missing: pooled by Rubin's
    rules over imputations that know the outcome (White & Royston 2009: event and Nelson-Aalen hazard among the
    predictors; for reported hazard ratios only, never in a frozen model), and on complete cases.
    """
    known = complete_cases(model, train.clinical)
    columns = model["terms"]
    if known.all() or not columns:
        return []
    time = train.outcome.pair_times
    if train.outcome.follow_up is not None:
        time = train.outcome.follow_up
    knowing = train.clinical.assign(event_=train.outcome.event, hazard_=nelson_aalen(time, train.outcome.event))
    number = {"kind": "numeric", "transform": "none"}
    variables = settings["variables"] | {"event_": number, "hazard_": number, "score_": number}
    clinical = clinical_terms(columns)
    if score is not None:
        knowing["score_"] = score
    terms = [*clinical, "event_", "hazard_", *(["score_"] if score is not None else [])]
    _, completed = imputations(knowing, terms, variables, settings["missing"]["imputations"], seed)

    part = train.rows(np.flatnonzero(known))
    fits = {
        "multivariable_imputed": (
            train,
            pooled_or_blank([design(filled, columns, score) for filled in completed], train, settings),
        ),
        "multivariable_complete_cases": (
            part,
            pooled_or_blank([applied_design(model, train.clinical, score)[known]], part, settings),
        ),
    }
    return [
        (
            name,
            stage,
            column,
            fitted["coef"][j],
            fitted["se"][j],
            len(rows.patient_id),
            int(rows.outcome.event.sum()),
            fitted["method"],
        )
        for stage, (rows, fitted) in fits.items()
        for j, column in enumerate(columns)
    ]


def nelson_aalen(time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Cumulative hazard (n,) at each row's own time."""
    times, place = np.unique(time, return_inverse=True)
    at_risk = len(time) - np.searchsorted(np.sort(time), times)
    return np.cumsum(np.bincount(place, weights=event) / at_risk)[place]
