"""Floor 6: Cox or logistic models before and after surgery, fitted on training rows and frozen as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.cohort.training import Training
from recur.fit.competing import competing_parts
from recur.fit.cutpoints import binary_cutpoint, freeze_cutpoint
from recur.fit.design import designs_of, imputed_terms
from recur.fit.regression import PENALTIES, likelihood_of
from recur.fit.selection import bounded_fit
from recur.fit.separation import blame
from recur.fit.strata import declared_strata, learn_strata, mean_baseline, stratum_baselines, with_strata
from recur.predict.inputs import BURDEN
from recur.predict.strata import offsets
from recur.statistics import logistic
from recur.statistics.estimate import NotEstimable
from recur.statistics.ipcw import weight_summary
from recur.statistics.linear_predictor import linear_sum
from recur.statistics.outcome import BINARY


def fit_models(
    train: Training, score: np.ndarray | None, settings: dict[str, Any], seed: int
) -> dict[str, dict[str, Any]]:
    """Fit every model of an analysis on training rows; score (n,) is the second-stage signature, None without one.

    settings: second_stage, missing, candidates, variables, horizons_months, models (names, see
    recur.study.facts.model_names). `size_only` and `volume_only` are added where training knows the tumour's size or
    volume.
    """
    candidates = settings["candidates"]
    everyone = train
    models = {}
    imputed = {}
    for name in settings["models"]:
        timing = "post" if name.endswith("_post") else "pre"
        terms = terms_of(name, timing, candidates)
        with_score = score is not None and not name.startswith("clinical")
        if tuple(terms) not in imputed:  # models with and without the signature share their clinical terms
            imputed[tuple(terms)] = imputed_terms(train, terms, settings, seed)
        own_score = score if with_score else None
        train = with_strata(everyone, settings) if terms else everyone
        models[name] = fit_model(train, terms, own_score, settings, seed, imputed[tuple(terms)])
        models[name] |= {"model": name, "timing": timing}
    train = everyone
    unselected = settings | without_selection(settings)
    for name, (term, label) in BURDEN.items():
        if term in train.clinical and train.clinical[term].notna().any():
            variable = {"kind": "numeric", "transform": "ln", "label": label, "unit": "", "timing": "pre"}
            models[name] = fit_model(train, [term], None, unselected | {"variables": {term: variable}}, seed)
            models[name] |= {"model": name, "timing": "pre"}
    return models


def terms_of(name: str, timing: str, candidates: dict[str, Any]) -> list[str]:
    """The clinical candidates of a model by its name; none of the signature alone."""
    if name == "signature":
        return []
    if timing == "post":
        return candidates["pre"] + candidates["post"]
    return candidates["pre"]


def without_selection(settings: dict[str, Any]) -> dict[str, Any]:
    """The part of the settings of a model that keeps every term it is given."""
    return {"second_stage": settings["second_stage"] | {"screen_p": None, "selection": "none"}}


def fit_model(
    train: Training,
    terms: list[str],
    score: np.ndarray | None,
    settings: dict[str, Any],
    seed: int,
    imputed: tuple[dict[str, Any], list[pd.DataFrame]] | None = None,
) -> dict[str, Any]:
    """One Cox (Efron ties) or logistic model as a JSON-ready dictionary: columns, covariance, baseline or intercept,
    imputer, frozen cut-point.

    Missing cells hold the conditional means that a new patient would get. Imputation without the outcome must be
    deterministic: stochastic draws bias coefficients towards 0 (D'Agostino McGowan et al. 2024, Stat Methods Med Res
    33:1399; on the tests' cohort 0.83 becomes 0.45 at 30 % missing, 0.77 with conditional means). Under `fit:
    stochastic` it is nevertheless fitted on every imputation and pooled by Rubin's rules, with the mean baseline
    hazard. A model without any varying term is legal: everyone has the baseline risk. imputed: imputed_terms of these
    terms, where another model has them already.
    """
    imputed = imputed or imputed_terms(train, terms, settings, seed)
    designs, applied, columns, imputer = designs_of(train, terms, score, settings, imputed)
    try:
        keep, result, negative = bounded_fit(designs, columns, train, settings["second_stage"])
    except NotEstimable as error:
        raise NotEstimable(f"{error}{blame(applied, columns, train.outcome.event)}") from error
    use = signature_use(score, columns, keep, negative)
    designs = [x[:, keep] for x in designs]
    columns = [columns[j] for j in keep]
    applied = applied[:, keep]
    mean = applied.mean(axis=0)
    described = [
        column | {"mean": float(mean[j]), "coef": float(result["coef"][j]), "se": float(result["se"][j])}
        for j, column in enumerate(columns)
    ]
    lp = linear_sum(applied, result["coef"], mean)
    if train.outcome.kind == BINARY:
        parts = logistic_parts(result, lp, train, settings)
    else:
        parts = survival_parts([x - mean for x in designs], result, train, settings)
        lp = lp + offsets(parts, train.clinical)
        parts["cutpoint"] = freeze_cutpoint(lp, train.outcome.time, train.outcome.event)
    if train.outcome.competing is not None:
        parts |= competing_parts(designs, described, parts, train, PENALTIES[settings["second_stage"]["separated"]])
    return parts | {
        "terms": described,
        "covariance": np.asarray(result["covariance"]).tolist(),
        "loglik": result["loglik"],
        "imputer": imputer,
        "imputations": len(designs) if len(designs) > 1 else 0,
        "signature_use": use,
        "lp_range": [float(lp.min()), float(lp.max())],
        "n": len(train.patient_id),
        "events": int(train.outcome.event.sum()),
    }


def signature_use(
    score: np.ndarray | None, columns: list[dict[str, Any]], keep: list[int], negative: float | None
) -> dict[str, Any] | None:
    """What became of the signature in a model: `status` (used, empty, eliminated, bounded) and, of a weight held at its
    bound of 0, the `unbounded` coefficient; None of a model that was offered none.
    """
    if score is None:
        return None
    places = [j for j, column in enumerate(columns) if column["kind"] == "signature"]
    if not places:
        status = "empty"
    elif negative is not None:
        status = "bounded"
    else:
        status = "used" if places[0] in keep else "eliminated"
    return {"status": status, "unbounded": negative}


def survival_parts(
    designs: list[np.ndarray], result: dict[str, Any], train: Training, settings: dict[str, Any]
) -> dict[str, Any]:
    """What makes risks of a Cox model's linear predictor: baseline (None where strata have one each), follow-up,
    horizons.
    """
    horizons = settings["horizons_months"]
    parts = {"baseline": None, "follow_up_months": float(train.outcome.time.max()), "horizons_months": horizons}
    parts |= likelihood_of(result["method"])
    if train.strata is None:
        times, survival = mean_baseline(designs, train.outcome.time, train.outcome.event, result["coef"])
        return parts | {"baseline": {"time": times.tolist(), "survival": survival.tolist()}}
    outcome = train.outcome.time, train.outcome.event, train.strata
    baselines = stratum_baselines(designs, train.outcome.time, train.outcome.event, result["coef"], train.strata)
    variables = declared_strata(settings["candidates"]["strata"], settings["variables"])
    return parts | {"strata": {"variables": variables} | learn_strata(baselines, *outcome, horizons[0])}


def logistic_parts(result: dict[str, Any], lp: np.ndarray, train: Training, settings: dict[str, Any]) -> dict[str, Any]:
    """What makes risks of a logistic model's linear predictor: intercept, likelihood, cut-point; no horizon.

    The intercept is the maximum likelihood one beside the coefficients, so that the mean training risk is the share of
    events also after Firth's penalty (FLIC; Puhr et al., Stat Med 2017). An outcome at a horizon has `weighting`: what
    censoring before it did to the training rows, and the weighted share of events.
    """
    weight = train.outcome.weight
    weighting = {}
    if weight is not None:
        share = float(np.average(train.outcome.event, weights=weight))
        weighting = {"weighting": weight_summary(weight) | {"share": share}}
    return weighting | {
        "intercept": logistic.best_intercept(lp, train.outcome.event, weight),
        **likelihood_of(result["method"]),
        "horizons_months": [],
        "cutpoint": binary_cutpoint(lp, train.outcome.event, settings.get("cutpoint_sensitivity"), weight),
    }
