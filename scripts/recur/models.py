"""Floor 6: Cox models before and after surgery as JSON, and how such a frozen model is applied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from recur.cox import NotEstimable, backward_aic, baseline_survival, fit_cox, survival_at, univariable_cox
from recur.cutpoint import best_cutpoint
from recur.encoding import encode, learn_columns
from recur.training import Training

SIGNATURE_COLUMN = {
    "name": "signature",
    "term": "signature",
    "label": "Radiomics signature",
    "unit": "",
    "kind": "signature",
    "transform": "none",
    "level": None,
}
COEFFICIENT_COLUMNS = ["model", "stage", "term", "label", "coef", "se", "hr", "lower", "upper", "p", "n", "events"]


def fit_models(train: Training, score: np.ndarray | None, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Fit every model of an analysis on training rows; score (n,) is the second-stage signature, None without one.

    settings: second_stage, candidates, variables, horizons_months, models (names, see recur.study.model_names).
    """
    candidates = settings["candidates"]
    models = {}
    for name in settings["models"]:
        timing = "post" if name.endswith("_post") else "pre"
        terms = [] if name == "signature" else candidates["pre"] + (candidates["post"] if timing == "post" else [])
        with_score = score is not None and not name.startswith("clinical")
        models[name] = fit_model(train, terms, score if with_score else None, settings)
        models[name] |= {"model": name, "timing": timing}
    return models


def design_of(
    train: Training, terms: list[str], score: np.ndarray | None, variables: dict[str, Any]
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Training design (n, p) of the terms that vary, and the description of its columns."""
    columns = learn_columns(train.clinical, terms, variables)
    x = encode(train.clinical, columns)
    if score is not None:
        span = {"impute": float(np.mean(score)), "low": float(np.min(score)), "high": float(np.max(score))}
        columns, x = [*columns, SIGNATURE_COLUMN | span], np.column_stack([x, score])
    varies = x.std(axis=0) > 1e-12
    return x[:, varies], [column for column, keep in zip(columns, varies, strict=True) if keep]


def fit_model(train: Training, terms: list[str], score: np.ndarray | None, settings: dict[str, Any]) -> dict[str, Any]:
    """One Cox model (Efron ties) as a JSON-ready dictionary: columns, covariance, baseline, frozen cut-point.

    A model without any varying term is legal: everyone has the baseline risk.
    """
    stage = settings["second_stage"]
    x, columns = design_of(train, terms, score, settings["variables"])
    if stage["screen_p"] is not None and len(columns):
        table = univariable_cox(x, train.time, train.event)
        passed = {c["term"] for c, p in zip(columns, table["p"], strict=True) if p < stage["screen_p"]} | {"signature"}
        keep = [j for j, column in enumerate(columns) if column["term"] in passed]
        x, columns = x[:, keep], [columns[j] for j in keep]
    if stage["selection"] == "backward_aic" and columns:
        names = list(dict.fromkeys(column["term"] for column in columns))
        groups = [[j for j, column in enumerate(columns) if column["term"] == name] for name in names]
        kept, _ = backward_aic(x, names, train.time, train.event, terms=groups)
        keep = [j for j, column in enumerate(columns) if column["term"] in kept]
        x, columns = x[:, keep], [columns[j] for j in keep]
    mean = x.mean(axis=0)
    result = fit_cox(x - mean, train.time, train.event)
    times, survival = baseline_survival(x - mean, train.time, train.event, result["coef"])
    lp = (x - mean) @ result["coef"]
    described = [
        column | {"mean": float(mean[j]), "coef": float(result["coef"][j]), "se": float(result["se"][j])}
        for j, column in enumerate(columns)
    ]
    return {
        "terms": described,
        "covariance": np.asarray(result["covariance"]).tolist(),
        "loglik": float(result["loglik"]),
        "baseline": {"time": times.tolist(), "survival": survival.tolist()},
        "horizons_months": settings["horizons_months"],
        "cutpoint": freeze_cutpoint(lp, train.time, train.event),
        "lp_range": [float(lp.min()), float(lp.max())],
        "n": len(train.time),
        "events": int(train.event.sum()),
    }


def freeze_cutpoint(lp: np.ndarray, time: np.ndarray, event: np.ndarray) -> dict[str, Any] | None:
    """The cut-point between low (<=) and high risk: maximally selected log-rank on training rows, then frozen.

    The p-value is corrected for the search. None when no cut leaves 10 events in each group.
    """
    found = best_cutpoint(lp, time, event)
    if not np.isfinite(found["cutpoint"]):
        return None
    p = found["p_corrected"]
    return {
        "lp": float(found["cutpoint"]),
        "rule": "maximally selected log-rank statistic on training rows, 10th to 90th centile",
        "statistic": float(found["statistic"]),
        "p_corrected": float(p) if np.isfinite(p) else None,
    }


def linear_predictor(model: dict[str, Any], clinical: pd.DataFrame, score: np.ndarray | None) -> np.ndarray:
    """Linear predictor (n,) of a frozen model; 0 is the mean training patient. score is the signature's, if used."""
    columns = model["terms"]
    clinical_columns = [column for column in columns if column["kind"] != "signature"]
    x = dict(zip([c["name"] for c in clinical_columns], encode(clinical, clinical_columns).T, strict=True))
    lp = np.zeros(len(clinical))
    for column in columns:
        values = score if column["kind"] == "signature" else x[column["name"]]
        lp += column["coef"] * (values - column["mean"])
    return lp


def risk_at(model: dict[str, Any], lp: np.ndarray, months: float) -> np.ndarray:
    """Predicted probability (n,) of the event by a time, 1 - S0(t)^exp(lp)."""
    baseline = survival_at(model["baseline"]["time"], model["baseline"]["survival"], months)
    return 1 - baseline ** np.exp(lp)


def risk_group(model: dict[str, Any], lp: np.ndarray) -> np.ndarray:
    """`low` or `high` (n,) by the frozen cut-point; `all` where the model has none."""
    if model["cutpoint"] is None:
        return np.full(len(lp), "all", object)
    return np.where(lp > model["cutpoint"]["lp"], "high", "low").astype(object)


def coefficient_table(train: Training, score: np.ndarray | None, models: dict[str, Any], settings: dict[str, Any]):
    """Univariable models of every candidate and the multivariable models, one row a column (COEFFICIENT_COLUMNS)."""
    rows = []
    terms = settings["candidates"]["pre"] + settings["candidates"]["post"]
    x, columns = design_of(train, terms, score, settings["variables"])
    for j, column in enumerate(columns):
        try:
            single = fit_cox(x[:, [j]], train.time, train.event)
            rows.append(("", "univariable", column, single["coef"][0], single["se"][0]))
        except NotEstimable:
            rows.append(("", "univariable", column, np.nan, np.nan))
    for name, model in models.items():
        rows += [(name, "multivariable", column, column["coef"], column["se"]) for column in model["terms"]]
    table = pd.DataFrame(
        [(m, stage, c["name"], c["label"], coef, se) for m, stage, c, coef, se in rows], columns=COEFFICIENT_COLUMNS[:6]
    )
    half = norm.ppf(0.975) * table["se"]
    table["hr"], table["lower"] = np.exp(table["coef"]), np.exp(table["coef"] - half)
    table["upper"], table["p"] = np.exp(table["coef"] + half), 2 * norm.sf(np.abs(table["coef"] / table["se"]))
    table["n"], table["events"] = len(train.time), int(train.event.sum())
    return table[COEFFICIENT_COLUMNS]
