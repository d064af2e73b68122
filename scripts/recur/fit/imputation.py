"""The chained models that fill in missing clinical values, learnt from training predictors.

No outcome and no held-out row enters them. Each variable has one conditional model given all others (van Buuren 2018,
Flexible Imputation of Missing Data, section 4.5): linear with its residual SD for numbers and ordered levels, logistic
for categories, both with a ridge penalty so that they exist in small samples. scikit-learn fits them; its
IterativeImputer is not used, because it has one kind of model for every column and draws from one row's neighbours
only while it fits. How they are applied: recur.predict.imputation.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression, Ridge

from recur.predict.imputation import columns_of, complete, fill, on_scale, start_design

SWEEPS = 20
PENALTY = 1.0  # of standardised predictors


def learn_imputer(clinical: pd.DataFrame, terms: list[str], variables: dict[str, Any]) -> dict[str, Any]:
    """The imputer of the terms, JSON-ready, from training rows; terms of which training knows nothing are left out.

    Per term: kind (linear, logistic), transform, columns, start (the value of each column before the first sweep),
    low and high (range on the model's scale), and the model given `predictors`: intercept and coefficients per column,
    sd of the residuals of a linear one.
    """
    described = []
    for term in terms:
        variable = variables[term]
        known = on_scale(clinical[term], variable["transform"]).dropna()
        if not len(known):
            continue
        category = variable["kind"] in ("binary", "categorical")
        codes = known.to_numpy(float)
        columns = columns_of(term, variable)
        if category:
            start = [float((codes == code).mean()) for code in range(1, len(columns) + 1)]
        else:
            start = [float(np.median(codes))]
        described.append(
            {"term": term, "kind": "logistic" if category else "linear", "transform": variable["transform"]}
            | {"ordinal": variable["kind"] == "ordinal", "columns": columns, "start": start}
            | {"low": float(codes.min()), "high": float(codes.max())}
        )
    described.sort(key=lambda item: (clinical[item["term"]].isna().sum(), terms.index(item["term"])))
    predictors = [name for item in described for name in item["columns"]]
    imputer = {"predictors": predictors, "terms": described, "sweeps": SWEEPS}
    design, missing = start_design(clinical, imputer)
    incomplete = [item for item in described if missing[item["term"]].any()]
    sweeps = SWEEPS if len(incomplete) > 1 else 1  # one variable alone depends on complete ones only
    for _ in range(sweeps):
        for item in incomplete:
            item["model"] = conditional_model(design, item, ~missing[item["term"]], predictors)
            fill(design, item, missing[item["term"]], predictors, None)
    for item in described:  # complete in training, perhaps not in a new patient
        item.setdefault("model", None)
        if item not in incomplete:
            item["model"] = conditional_model(design, item, ~missing[item["term"]], predictors)
    return imputer


def conditional_model(
    design: np.ndarray, item: dict[str, Any], known: np.ndarray, predictors: list[str]
) -> dict[str, Any]:
    """intercept (k,), coef (k, p - k) per column of a term given the other columns, from rows with a known value."""
    places = [predictors.index(name) for name in item["columns"]]
    predictor_places = np.setdiff1d(np.arange(len(predictors)), places)
    x = design[np.ix_(known, predictor_places)]
    y = design[np.ix_(known, places)]
    centre = x.mean(axis=0)
    spread = x.std(axis=0)
    spread = np.where(spread > 1e-12, spread, 1.0)
    z = (x - centre) / spread
    if item["kind"] == "linear":
        if len(predictor_places):
            model = Ridge(alpha=PENALTY).fit(z, y[:, 0])
            coef = model.coef_[None, :]
            intercept = np.array([model.intercept_])
            fitted = model.predict(z)
        else:
            coef = np.zeros((1, 0))
            intercept = y.mean(axis=0)
            fitted = np.full(len(y), y.mean())
        sd = float(np.sqrt(((y[:, 0] - fitted) ** 2).sum() / max(len(y) - len(predictor_places) - 1, 1)))
    else:
        coef = multinomial(z, np.where(y.any(axis=1), y.argmax(axis=1) + 1, 0), len(places))
        intercept = None
        sd = None
        intercept = coef[:, 0]
        coef = coef[:, 1:]
    coef = coef / spread
    return {"intercept": (intercept - coef @ centre).tolist(), "coef": coef.tolist(), "sd": sd}


def multinomial(z: np.ndarray, code: np.ndarray, levels: int) -> np.ndarray:
    """(levels, 1 + p) intercept and log odds of each level against level 0; a level never seen keeps odds near 0."""
    seen = np.unique(code)
    result = np.zeros((levels + 1, 1 + z.shape[1]))
    result[:, 0] = np.log((np.bincount(code, minlength=levels + 1) + 0.5) / (len(code) + 0.5 * (levels + 1)))
    if len(seen) > 1 and z.shape[1]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # convergence to the last digit is not needed
            model = LogisticRegression(C=1 / PENALTY, max_iter=200).fit(z, code)
        if len(seen) == 2:
            result[seen[0]] = 0.0
            result[seen[1]] = np.concatenate([model.intercept_, model.coef_[0]])
        else:
            result[seen] = np.column_stack([model.intercept_, model.coef_])
        never = np.setdiff1d(np.arange(levels + 1), seen)
        result[never] = result[seen[0]]
        result[never, 0] -= np.log(2.0 * len(code))
    return result[1:] - result[0]


def imputations(
    clinical: pd.DataFrame, terms: list[str], variables: dict[str, Any], count: int, seed: int
) -> tuple[dict[str, Any], list[pd.DataFrame]]:
    """The frozen imputer, and the completed training designs that a model is fitted on.

    `count` stochastic imputations, each by models learnt on a bootstrap draw of the rows, so that the uncertainty of
    the imputation models is in them (Rubin 1987; van Buuren 2018, algorithm 3.2); one completed design where nothing is
    missing or count is 0.
    """
    imputer = learn_imputer(clinical, terms, variables)
    known = [item["term"] for item in imputer["terms"]]
    if not count or not clinical[known].isna().to_numpy().any():
        return imputer, [complete(clinical, imputer)]
    result = []
    for number in range(count):
        rng = np.random.default_rng([seed, 7, number])
        while True:  # a draw without any known value of a term says nothing about it
            draw = clinical.iloc[rng.choice(len(clinical), len(clinical))]
            if draw[known].notna().any().all():
                break
        result.append(complete(clinical, learn_imputer(draw, known, variables), rng))
    return imputer, [design[imputer["predictors"]] for design in result]


def pool(coefs: np.ndarray, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rubin's rules: mean coefficients (p,) and total covariance (p, p) of m fits (m, p), (m, p, p)."""
    count = len(coefs)
    mean = coefs.mean(axis=0)
    if count == 1:
        return mean, covariances[0]
    away = coefs - mean
    return mean, covariances.mean(axis=0) + (1 + 1 / count) * (away.T @ away) / (count - 1)
