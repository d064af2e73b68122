"""Floor 6: Cox or logistic models before and after surgery as JSON, and how such a frozen model is applied."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm

from recur.cohort.training import Training
from recur.predict.design import design, learn_columns, names_in, terms_in
from recur.predict.imputation import complete, imputations, pool
from recur.predict.strata import (
    declared_strata,
    learn_strata,
    mean_baseline,
    of_stratum,
    offsets,
    strata_of,
    stratum_baselines,
)
from recur.predict.support import last_month
from recur.statistics import logistic, penalised
from recur.statistics.competing import cause_specific_incidence
from recur.statistics.cox import backward, survival_at, term_test, wald_test
from recur.statistics.cutpoint import best_cutpoint
from recur.statistics.estimate import NotEstimable
from recur.statistics.ipcw import weight_summary
from recur.statistics.linear_predictor import clinical_terms, linear_sum, tied
from recur.statistics.roc import roc_points, youden

SIGNATURE_COLUMN = {
    "name": "signature",
    "term": "signature",
    "label": "Radiomics signature",
    "unit": "",
    "kind": "signature",
    "transform": "none",
    "level": None,
}
PENALTIES = {"firth": logistic.FIRTH, "ridge": logistic.RIDGE}  # of second_stage.separated
MIN_COMPETING_EVENTS = 5  # a column, for the competing event to have covariates
COEFFICIENT_COLUMNS = ["model", "stage", "term", "label", "coef", "se", "hr", "lower", "upper", "p", "p_term"]
COEFFICIENT_COLUMNS += ["n", "events", "method"]
ODDS_COLUMNS = [*COEFFICIENT_COLUMNS[:6], "or", *COEFFICIENT_COLUMNS[7:]]  # of logistic models


# Models of the tumour's size or volume alone stand beside the others wherever it is known (guard 21).
BURDEN = {
    "size_only": ("tumour_size", "Tumour size"),
    "volume_only": ("tumour_volume", "Tumour volume"),
}


def fit_models(
    train: Training, score: np.ndarray | None, settings: dict[str, Any], seed: int
) -> dict[str, dict[str, Any]]:
    """Fit every model of an analysis on training rows; score (n,) is the second-stage signature, None without one.

    settings: second_stage, missing, candidates, variables, horizons_months, models (names, see
    recur.study.file.model_names). `size_only` and `volume_only` are added where training knows the tumour's size or
    volume.
    """
    candidates, everyone = settings["candidates"], train
    models, imputed = {}, {}
    for name in settings["models"]:
        timing = "post" if name.endswith("_post") else "pre"
        terms = [] if name == "signature" else candidates["pre"] + (candidates["post"] if timing == "post" else [])
        with_score = score is not None and not name.startswith("clinical")
        if tuple(terms) not in imputed:  # models with and without the signature share their clinical terms
            imputed[tuple(terms)] = imputed_terms(train, terms, settings, seed)
        own = score if with_score else None
        train = with_strata(everyone, settings) if terms else everyone
        models[name] = fit_model(train, terms, own, settings, seed, imputed[tuple(terms)])
        models[name] |= {"model": name, "timing": timing}
    train, whole = everyone, settings | without_selection(settings)
    for name, (term, label) in BURDEN.items():
        if term in train.clinical and train.clinical[term].notna().any():
            variable = {"kind": "numeric", "transform": "ln", "label": label, "unit": "", "timing": "pre"}
            models[name] = fit_model(train, [term], None, whole | {"variables": {term: variable}}, seed)
            models[name] |= {"model": name, "timing": "pre"}
    return models


def with_strata(train: Training, settings: dict[str, Any]) -> Training:
    """The training rows with the strata that the models with clinical terms have; the same rows without any."""
    names = settings["candidates"].get("strata")
    if not names:
        return train
    return train._replace(strata=strata_of(train.clinical, declared_strata(names, settings["variables"])))


def without_selection(settings: dict[str, Any]) -> dict[str, Any]:
    """The part of the settings of a model that keeps every term it is given."""
    return {"second_stage": settings["second_stage"] | {"screen_p": None, "selection": "none"}}


def imputed_terms(
    train: Training, terms: list[str], settings: dict[str, Any], seed: int
) -> tuple[dict[str, Any], list[pd.DataFrame]]:
    """The imputer of the terms, and their stochastic imputations where models are fitted on these."""
    missing = settings["missing"]
    count = missing["imputations"] if missing["fit"] == "stochastic" else 0
    return imputations(train.clinical, terms, settings["variables"], count, seed)


def designs_of(
    train: Training,
    terms: list[str],
    score: np.ndarray | None,
    settings: dict[str, Any],
    imputed: tuple[dict[str, Any], list[pd.DataFrame]],
) -> tuple[list[np.ndarray], np.ndarray, list[dict[str, Any]], dict[str, Any]]:
    """What a model is fitted on: training designs (n, p), one an imputation, the design that the frozen imputer gives,
    the description of the columns (those that vary), and the imputer.
    """
    imputer, completed = imputed
    interactions = settings.get("candidates", {}).get("interactions")
    columns = learn_columns(train.clinical, terms, settings["variables"], interactions)
    if score is not None:
        columns = [*columns, SIGNATURE_COLUMN | {"low": float(np.min(score)), "high": float(np.max(score))}]
    designs = [design(filled, columns, score) for filled in [*completed, complete(train.clinical, imputer)]]
    varies = np.min([x.std(axis=0) for x in designs], axis=0) > 1e-12 if columns else np.zeros(0, bool)
    constant = {column["name"] for column, keep in zip(columns, varies, strict=True) if not keep}
    # the product with a constant column is the other column again
    keep = [j for j, column in enumerate(columns) if not constant.intersection(names_in(column))]
    *drawn, applied = [x[:, keep] for x in designs]
    return drawn, applied, [columns[j] for j in keep], imputer


def fit_columns(x: np.ndarray, train: Training, separated: str = logistic.FIRTH, copies: int = 1) -> dict[str, Any]:
    """The regression of the outcome on columns of the training rows: Cox, or of a binary outcome logistic; by the
    method `separated` where a coefficient would be infinite. x (n, p), or `copies` of the rows stacked.
    """
    time, event, weight = stacked(train, copies)
    if train.binary:
        return logistic.fit_or_penalised(x, event, separated, weight, copies)
    return penalised.fit_or_penalised(x, time, event, separated, stacked_strata(train, copies), copies)


def stacked_strata(train: Training, copies: int) -> np.ndarray | None:
    return None if train.strata is None else np.tile(train.strata, copies)


def stacked(train: Training, copies: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Time, event and weight (None without) of `copies` of the training rows below each other."""
    weight = train.weight
    return (
        np.tile(train.time, copies),
        np.tile(train.event, copies),
        None if weight is None else np.tile(weight, copies),
    )


def pooled_fit(designs: list[np.ndarray], train: Training, separated: str = logistic.FIRTH) -> dict[str, Any]:
    """The model of every imputation pooled by Rubin's rules: coef, se, covariance, loglik (mean), method of the fit,
    and of a single penalised fit its ratio_test.
    """
    fits = [fit_columns(x, train, separated) for x in designs]
    coef, covariance = pool(*(np.array([fitted[key] for fitted in fits]) for key in ("coef", "covariance")))
    loglik = float(np.mean([fitted["loglik"] for fitted in fits]))
    methods = [fitted["method"] for fitted in fits]
    method = max(methods, key=lambda name: name == separated)
    result = {"coef": coef, "se": np.sqrt(np.diag(covariance)), "covariance": covariance, "loglik": loglik}
    if len(fits) == 1 and "ratio_test" in fits[0]:
        result["ratio_test"] = fits[0]["ratio_test"]
    return result | {"method": method}


def term_groups(columns: list[dict[str, Any]]) -> dict[str, list[int]]:
    """Columns of each term: the levels of a category are tested, kept and dropped together."""
    groups: dict[str, list[int]] = {}
    for j, column in enumerate(columns):
        groups.setdefault(column["term"], []).append(j)
    return groups


def bounded_fit(
    designs: list[np.ndarray], columns: list[dict[str, Any]], train: Training, stage: dict[str, Any]
) -> tuple[list[int], dict[str, Any], float | None]:
    """Columns left by screen and elimination, their pooled fit, and the weight that the signature would have below its
    lower bound of 0; None where the bound does not bind.

    A stacked score takes no negative weight (Breiman, Machine Learning 1996): out of fold a signature without signal
    often points the other way, and turned round it would be applied against what it was built for. Where its best
    weight is negative the best one allowed is 0, since likelihoods are concave: the model then holds no signature, and
    its other terms are chosen without it. Scores of its own training rows have the same bound.
    """
    penalty = PENALTIES[stage["separated"]]
    keep = screened_columns(designs, columns, train, stage)
    for select in (False, True) if stage["selection"] != "none" else (False,):
        keep = eliminated(designs, columns, train, stage, keep) if select else keep
        result = pooled_fit([x[:, keep] for x in designs], train, penalty)
        weights = [result["coef"][i] for i, j in enumerate(keep) if columns[j]["kind"] == "signature"]
        if weights and weights[0] < 0:  # the signature is the last column
            without = bounded_fit([x[:, :-1] for x in designs], columns[:-1], train, stage)
            return *without[:2], float(weights[0])
    return keep, result, None


def screened_columns(
    designs: list[np.ndarray], columns: list[dict[str, Any]], train: Training, stage: dict[str, Any]
) -> list[int]:
    """Columns left by the univariable screen (joint test of a term; the signature always passes).

    An interaction is not screened: it stays where both its terms do. Over m imputations the screen uses the stacked
    rows with weight 1/m (Wood, White & Royston 2008; docs/methods.md 6.1).
    """
    groups = term_groups(columns)
    if stage["screen_p"] is not None:
        x, penalty = np.vstack(designs), PENALTIES[stage["separated"]]
        single = {term: at for term, at in groups.items() if columns[at[0]]["kind"] != "interaction"}
        p = {term: joint_p(x[:, at], train, len(designs), penalty) for term, at in single.items()}
        passed = {term for term in single if term == "signature" or p[term] < stage["screen_p"]}
        groups = {term: at for term, at in groups.items() if passed.issuperset(terms_in(columns[at[0]]))}
    return sorted(j for at in groups.values() for j in at)


def eliminated(
    designs: list[np.ndarray], columns: list[dict[str, Any]], train: Training, stage: dict[str, Any], keep: list[int]
) -> list[int]:
    """Those of the columns `keep` that backward elimination leaves; imputations stacked as for the screen. The terms of
    an interaction stay as long as it does.
    """
    if not keep:
        return keep
    copies, x = len(designs), np.vstack(designs)
    groups = {term: at for term, at in term_groups(columns).items() if at[0] in keep}
    names, penalty = list(groups), PENALTIES[stage["separated"]]
    parents = parent_places(names, [columns[at[0]] for at in groups.values()])
    p_remove = stage["p_remove"] if stage["selection"] == "backward_p" else None

    def fit(own: list[int]) -> dict[str, Any]:
        return fit_columns(x[:, own], train, penalty, copies)

    kept, _ = backward(fit, names, list(groups.values()), copies, p_remove, parents)
    return sorted(j for term in kept for j in groups[term])


def parent_places(names: list[str], columns: list[dict[str, Any]]) -> list[list[int]]:
    """Per term (a column of each) the places of the terms that it is a product of."""
    factors = [terms_in(column) if column["kind"] == "interaction" else [] for column in columns]
    return [[names.index(term) for term in terms] for terms in factors]


def joint_p(x: np.ndarray, train: Training, copies: int, separated: str) -> float:
    """p-value of all columns of one term together (cox.term_test: penalised likelihood ratio where it separates); 1
    where it cannot be estimated.
    """
    try:
        fitted = fit_columns(x, train, separated, copies)
    except NotEstimable:
        return 1.0
    return term_test(fitted, range(x.shape[1]), copies)["p"]


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
        raise NotEstimable(f"{error}{blame(applied, columns, train.event)}") from error
    use = signature_use(score, columns, keep, negative)
    designs, columns = [x[:, keep] for x in designs], [columns[j] for j in keep]
    applied = applied[:, keep]
    mean = applied.mean(axis=0)
    described = [
        column | {"mean": float(mean[j]), "coef": float(result["coef"][j]), "se": float(result["se"][j])}
        for j, column in enumerate(columns)
    ]
    lp = linear_sum(applied, result["coef"], mean)
    if train.binary:
        own = logistic_parts(result, lp, train, settings)
    else:
        own = survival_parts([x - mean for x in designs], result, train, settings)
        lp = lp + offsets(own, train.clinical)
        own["cutpoint"] = freeze_cutpoint(lp, train.time, train.event)
    if train.competing is not None:
        own |= competing_parts(designs, described, own, train, PENALTIES[settings["second_stage"]["separated"]])
    return own | {
        "terms": described,
        "covariance": np.asarray(result["covariance"]).tolist(),
        "loglik": result["loglik"],
        "imputer": imputer,
        "imputations": len(designs) if len(designs) > 1 else 0,
        "signature_use": use,
        "lp_range": [float(lp.min()), float(lp.max())],
        "n": len(train.time),
        "events": int(train.event.sum()),
    }


def blame(design: np.ndarray, columns: list[dict[str, Any]], event: np.ndarray) -> str:
    """Which columns (n, p) cannot have an estimate, and what to do, to follow the reason of a failed fit; "" if none.

    A level whose patients all have one outcome, and columns that are a sum of others.
    """
    event, found = np.asarray(event).astype(bool), []
    for j, column in enumerate(columns):
        values, counts = np.unique(design[:, j], return_counts=True)
        for value, n in zip(values, counts, strict=True) if len(values) == 2 else []:
            events = int(event[design[:, j] == value].sum())
            if events == 0 or events == n:
                which = "with it" if value == values[-1] else "without it"
                found.append(f"{column['label']}: {events} events among the {n} training patients {which}")
    return remedy(found + combinations(design, columns))


def combinations(design: np.ndarray, columns: list[dict[str, Any]]) -> list[str]:
    """A line for each column of the design (n, p) that is a sum of the others."""
    centred, found = design - design.mean(axis=0), []
    for j, column in enumerate(columns):
        others = np.delete(centred, j, axis=1)
        left = centred[:, j] - others @ np.linalg.lstsq(others, centred[:, j], rcond=None)[0]
        if np.abs(left).max() <= 1e-9 * np.abs(centred[:, j]).max():
            found.append(f"{column['label']}: a combination of the other terms")
    return found


def remedy(found: list[str]) -> str:
    """The columns that are to blame and what to do about them; "" where none is known."""
    return f" ({'; '.join(found)}): leave it out of the candidates, or join its levels" if found else ""


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
    parts = {"baseline": None, "follow_up_months": float(train.time.max()), "horizons_months": horizons}
    parts |= likelihood_of(result["method"])
    if train.strata is None:
        times, survival = mean_baseline(designs, train.time, train.event, result["coef"])
        return parts | {"baseline": {"time": times.tolist(), "survival": survival.tolist()}}
    own = train.time, train.event, train.strata
    baselines = stratum_baselines(designs, train.time, train.event, result["coef"], train.strata)
    variables = declared_strata(settings["candidates"]["strata"], settings["variables"])
    return parts | {"strata": {"variables": variables} | learn_strata(baselines, *own, horizons[0])}


def likelihood_of(method: str) -> dict[str, Any]:
    """What a frozen model says of its likelihood, maximum or penalised."""
    variance = logistic.RIDGE_VARIANCE if method == logistic.RIDGE else None
    return {"likelihood": method, "prior_variance_per_sd": variance}


def logistic_parts(result: dict[str, Any], lp: np.ndarray, train: Training, settings: dict[str, Any]) -> dict[str, Any]:
    """What makes risks of a logistic model's linear predictor: intercept, likelihood, cut-point; no horizon.

    The intercept is the maximum likelihood one beside the coefficients, so that the mean training risk is the share of
    events also after Firth's penalty (FLIC; Puhr et al., Stat Med 2017). An outcome at a horizon has `weighting`: what
    censoring before it did to the training rows, and the weighted share of events.
    """
    weight = train.weight
    weighting = {}
    if weight is not None:
        share = float(np.average(train.event, weights=weight))
        weighting = {"weighting": weight_summary(weight) | {"share": share}}
    return weighting | {
        "intercept": logistic.best_intercept(lp, train.event, weight),
        **likelihood_of(result["method"]),
        "horizons_months": [],
        "cutpoint": binary_cutpoint(lp, train.event, settings.get("cutpoint_sensitivity"), weight),
    }


def binary_cutpoint(
    lp: np.ndarray, event: np.ndarray, sensitivity: float | None, weight: np.ndarray | None = None
) -> dict[str, Any] | None:
    """The cut-point between low (<=) and high: Youden's on training rows, or the highest with the asked sensitivity,
    midway between two distinct predictors. None where all patients have one predictor.
    """
    if np.ptp(lp) < 1e-12:
        return None
    lp = tied(lp)
    if sensitivity is None:
        found, rule = youden(event, lp, weight), "Youden's index on training rows"
    else:
        points = roc_points(event, lp, weight)
        found = points[points["sensitivity"] >= sensitivity - 1e-12].iloc[-1].to_dict()
        rule = f"highest with a sensitivity of {sensitivity:g} on training rows"
    if not np.isfinite(found["threshold"]):
        return None
    index = found["sensitivity"] + found["specificity"] - 1
    return {"lp": float(found["threshold"]), "rule": rule, "statistic": float(index), "p_corrected": None}


def competing_parts(
    designs: list[np.ndarray], columns: list[dict[str, Any]], main: dict[str, Any], train: Training, separated: str
) -> dict[str, Any]:
    """The parts of a model that its competing event adds or changes; the baseline stands with the stratum, if any."""
    model, baselines = competing_model(designs, columns, train, separated)
    if "strata" not in main:
        return {"competing": model | {"baseline": baselines[""]}}
    levels = [level | {"competing": baselines[level["stratum"]]} for level in main["strata"]["levels"]]
    return {"competing": model | {"baseline": None}, "strata": main["strata"] | {"levels": levels}}


def competing_model(
    designs: list[np.ndarray], columns: list[dict[str, Any]], train: Training, separated: str
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Cause-specific Cox model of the competing event on the columns of the main one: terms, events, reason,
    likelihood; and its baseline by stratum (without strata that of "").

    The signature's weight in it is free: it was built for the other event, and may well be protective of this one.
    Absolute risks need it (docs/methods.md 6.4). Without covariates, with the reason, where fewer than
    MIN_COMPETING_EVENTS events a column or columns without an estimate forbid them.
    """
    deaths = train._replace(event=np.asarray(train.competing))
    mean, events, reason = np.array([column["mean"] for column in columns]), int(train.competing.sum()), ""
    if events < MIN_COMPETING_EVENTS * len(columns):
        reason = f"no covariates: {events} competing events for {len(columns)} columns"
    try:
        result = pooled_fit([x - mean for x in designs], deaths, separated) if not reason else {}
    except NotEstimable as error:
        result, reason = {}, f"no covariates: {error}{blame(designs[-1], columns, deaths.event)}"
    if not result:
        columns, mean, designs = [], mean[:0], [x[:, :0] for x in designs]
        result = {"coef": np.zeros(0), "se": np.zeros(0), "method": logistic.ML}
    strata = np.full(len(train.time), "") if train.strata is None else train.strata
    steps = stratum_baselines([x - mean for x in designs], train.time, deaths.event, result["coef"], strata)
    baselines = {
        name: {"time": times.tolist(), "survival": survival.tolist()} for name, (times, survival) in steps.items()
    }
    terms = [
        column | {"coef": float(coef), "se": float(se)}
        for column, coef, se in zip(columns, result["coef"], result["se"], strict=True)
    ]
    return {"terms": terms, "events": events, "reason": reason} | likelihood_of(result["method"]), baselines


def freeze_cutpoint(lp: np.ndarray, time: np.ndarray, event: np.ndarray) -> dict[str, Any] | None:
    """The cut-point between low (<=) and high risk: maximally selected log-rank on training rows, then frozen.

    It lies midway between two distinct predictors, so that the groups are those of the search whoever computes them.
    The p-value is corrected for the search. None when no cut leaves 10 events in each group.
    """
    found = best_cutpoint(tied(lp), time, event)
    if not np.isfinite(found["cutpoint"]):
        return None
    p = found["p_corrected"]
    return {
        "lp": float(found["cutpoint"]),
        "rule": "maximally selected log-rank statistic on training rows, 10th to 90th centile",
        "statistic": float(found["statistic"]),
        "p_corrected": float(p) if np.isfinite(p) else None,
    }


def linear_predictor(
    model: dict[str, Any],
    clinical: pd.DataFrame,
    score: np.ndarray | None,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Linear predictor (n,) of a frozen model; 0 is the mean training patient. score is the signature's, if used.

    Missing cells get the frozen conditional means; with rng, one stochastic imputation. Of a stratified model it holds
    the stratum's part (recur.predict.strata) and is NaN in a stratum without a baseline hazard.
    """
    coef, mean = ([column[key] for column in model["terms"]] for key in ("coef", "mean"))
    return linear_sum(applied_design(model, clinical, score, rng), coef, mean) + offsets(model, clinical)


def competing_predictor(model: dict[str, Any], clinical: pd.DataFrame, score: np.ndarray | None) -> np.ndarray:
    """Linear predictor (n,) of the competing event's hazard."""
    other = {"terms": model["competing"]["terms"], "imputer": model["imputer"]}
    return linear_predictor(other, clinical, score)


def applied_design(
    model: dict[str, Any],
    clinical: pd.DataFrame,
    score: np.ndarray | None,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """The columns (n, p) of a frozen model's terms for any rows, missing cells filled by its imputer."""
    return design(complete(clinical, model["imputer"], rng), model["terms"], score)


def risk_at(
    model: dict[str, Any],
    lp: np.ndarray,
    months: float,
    lp_competing: np.ndarray | None = None,
    strata: np.ndarray | None = None,
) -> np.ndarray:
    """Predicted probability (n,) of the event by a time, 1 - S0(t)^exp(lp).

    A model with a competing event gives the cumulative incidence, for which it needs the predictor (n,) of that event.
    A stratified one needs the strata (n,) of the patients (recur.predict.strata.strata_of). NaN beyond the training
    follow-up, of the stratum, or where a frozen model has too
    few training patients (recur.predict.support): the baseline is not extrapolated.
    """
    if "strata" in model:
        if strata is None:
            raise ValueError("a stratified model needs the strata of the patients")
        risk = np.full(len(lp), np.nan)
        for level in model["strata"]["levels"]:
            own = np.asarray(strata) == level["stratum"]
            other = None if lp_competing is None else lp_competing[own]
            risk[own] = risk_at(of_stratum(model, level), lp[own], months, other)
        return risk
    if months > last_month(model):
        return np.full(len(lp), np.nan)
    if "competing" in model:
        if lp_competing is None:
            raise ValueError("a model with a competing event needs the linear predictor of that event")
        hazards = [
            (part["time"], -np.log(part["survival"])) for part in (model["baseline"], model["competing"]["baseline"])
        ]
        return cause_specific_incidence(*hazards, lp, lp_competing, [months])[:, 0]
    baseline = survival_at(model["baseline"]["time"], model["baseline"]["survival"], months)
    return 1 - baseline ** np.exp(lp)


def risk_group(model: dict[str, Any], lp: np.ndarray) -> np.ndarray:
    """`low` or `high` (n,) by the frozen cut-point; `all` where the model has none."""
    if model["cutpoint"] is None:
        return np.full(len(lp), "all", object)
    return np.where(lp > model["cutpoint"]["lp"], "high", "low").astype(object)


def apply_model(model: dict[str, Any], clinical: pd.DataFrame, score: np.ndarray | None) -> pd.DataFrame:
    """A frozen model on any rows: lp, group, risk_<months>; with a competing event also lp_competing; of a logistic
    model one risk; of a stratified one also the stratum.
    """
    result = pd.DataFrame({"lp": linear_predictor(model, clinical, score)}, index=clinical.index)
    result["group"], other = risk_group(model, result["lp"].to_numpy()), None
    if "competing" in model:
        other = competing_predictor(model, clinical, score)
        result["lp_competing"] = other
    strata = strata_of(clinical, model["strata"]["variables"]) if "strata" in model else None
    if strata is not None:
        result["stratum"] = strata
    for months in model["horizons_months"]:
        result[f"risk_{months:g}"] = risk_at(model, result["lp"].to_numpy(), months, other, strata)
    if "intercept" in model:
        result["risk"] = expit(model["intercept"] + result["lp"].to_numpy())
    return result


def coefficient_table(
    train: Training, score: np.ndarray | None, models: dict[str, Any], settings: dict[str, Any], seed: int
) -> pd.DataFrame:
    """Univariable models of every candidate and the multivariable models, one row a column (COEFFICIENT_COLUMNS, of a
    binary outcome ODDS_COLUMNS); where cells are missing, also the same multivariable models over outcome-informed
    imputations and on complete cases. Penalised estimates have limits and p by their profile.

    All columns of a term are fitted together, so that each level stands against the reference; p_term tests all of them
    (cox.term_test). An interaction has no model of its own without its terms, and no univariable row.
    """
    rows: list[tuple] = []
    size = len(train.time), int(train.event.sum())
    terms = settings["candidates"]["pre"] + settings["candidates"]["post"]
    designs, _, columns, _ = designs_of(train, terms, score, settings, imputed_terms(train, terms, settings, seed))
    together = {t: at for t, at in term_groups(columns).items() if columns[at[0]]["kind"] != "interaction"}
    joint: dict[tuple[str, str, str], float] = {}
    for at in together.values():
        single = pooled_or_blank([x[:, at] for x in designs], train, settings)
        for i, j in enumerate(at):
            values = single["coef"][i], single["se"][i]
            rows.append(("", "univariable", columns[j], *values, *size, single["method"]))
            joint["", "univariable", columns[j]["name"]] = term_p(single, range(len(at)))
    for name, model in models.items():
        for column in model["terms"]:
            values = column["coef"], column["se"]
            rows.append((name, "multivariable", column, *values, *size, model["likelihood"]))
        fitted = {"coef": np.array([column["coef"] for column in model["terms"]]), "covariance": model["covariance"]}
        for at in term_groups(model["terms"]).values():
            for j in at:
                joint[name, "multivariable", model["terms"][j]["name"]] = term_p(fitted, at)
    for name, model in models.items():
        rows += missing_data_rows(name, model, train, score, settings, seed)
    names = [*COEFFICIENT_COLUMNS[:6], "n", "events", "method"]
    table = pd.DataFrame([(m, stage, c["name"], c["label"], *rest) for m, stage, c, *rest in rows], columns=names)
    ratio, half = "or" if train.binary else "hr", norm.ppf(0.975) * table["se"]
    table[ratio], table["lower"] = np.exp(table["coef"]), np.exp(table["coef"] - half)
    table["upper"], table["p"] = np.exp(table["coef"] + half), 2 * norm.sf(np.abs(table["coef"] / table["se"]))
    keys = zip(table["model"], table["stage"], table["term"], strict=True)
    table["p_term"] = [joint.get(key, np.nan) for key in keys]
    if train.weight is not None:
        table["method"] = table["method"].replace(logistic.ML, f"{logistic.ML}, weighted; sandwich errors")
    fitted_on = {
        ("", columns[j]["name"]): ([columns[k] for k in at], designs[0][:, at], train)
        for at in together.values()
        for j in at
    }
    for name, model in models.items():
        rows_of = with_strata(train, settings) if "strata" in model else train
        x = applied_design(model, train.clinical, score)
        fitted_on |= {(name, column["name"]): (model["terms"], x, rows_of) for column in model["terms"]}
    for i in table.index[table["method"].isin(PENALTIES.values())]:
        own = fitted_on[table.loc[i, "model"], table.loc[i, "term"]]
        profiled = table.loc[i, "stage"] in ("univariable", "multivariable") and len(designs) == 1
        table.loc[i] = penalised_row(table.loc[i].copy(), *own, profiled)
    return table[ODDS_COLUMNS if train.binary else COEFFICIENT_COLUMNS]


def penalised_row(
    row: pd.Series, columns: list[dict[str, Any]], x: np.ndarray, train: Training, profiled: bool
) -> pd.Series:
    """A row of coefficient_table with the limits and p-values of a penalised estimate: by the profile of the model on
    the columns x (n, p), or Wald's of one that is pooled or fitted on other rows.
    """
    method = row["method"]
    if train.weight is not None:
        # neither a sandwich nor a profile is known to hold for a penalised, weighted likelihood
        row[["se", "lower", "upper", "p", "p_term"]] = np.nan
        row["method"] = f"{method}, weighted: no valid limits known"
        return row
    if not profiled:
        row["method"] = f"{method}; Wald limits"
        return row
    j = [column["name"] for column in columns].index(row["term"])
    at = [k for k, column in enumerate(columns) if column["term"] == columns[j]["term"]]
    if train.binary:
        low, high, p = logistic.profile_interval(x, train.event, j, method)
    else:
        low, high, p = penalised.profile_interval(
            penalised.problem_of(x, train.time, train.event, method, train.strata), j
        )
    row[["lower", "upper", "p"]] = np.exp(low), np.exp(high), p
    row["p_term"] = p if len(at) == 1 else term_test(fit_columns(x, train, method), at)["p"]
    row["method"] = f"{method}; profile penalised likelihood"
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


def pooled_or_blank(designs: list[np.ndarray], train: Training, settings: dict[str, Any]) -> dict[str, Any]:
    """pooled_fit, or NaN coefficients where the model cannot be estimated."""
    try:
        return pooled_fit(designs, train, PENALTIES[settings["second_stage"]["separated"]])
    except NotEstimable as error:
        nothing = np.full(designs[0].shape[1], np.nan)
        return {"coef": nothing, "se": nothing, "method": f"not estimated: {error}"}


def complete_cases(model: dict[str, Any], clinical: pd.DataFrame) -> np.ndarray:
    """(n,) whether a row has every clinical value that the model uses."""
    return clinical.reindex(columns=clinical_terms(model["terms"])).notna().all(axis=1).to_numpy()


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
    known, columns = complete_cases(model, train.clinical), model["terms"]
    if known.all() or not columns:
        return []
    time = train.time if train.follow_up is None else train.follow_up
    knowing = train.clinical.assign(event_=train.event, hazard_=nelson_aalen(time, train.event))
    number = {"kind": "numeric", "transform": "none"}
    variables = settings["variables"] | {"event_": number, "hazard_": number, "score_": number}
    own = clinical_terms(columns)
    if score is not None:
        knowing["score_"] = score
    terms = [*own, "event_", "hazard_", *(["score_"] if score is not None else [])]
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
            len(rows.time),
            int(rows.event.sum()),
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
