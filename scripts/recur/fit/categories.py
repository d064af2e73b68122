"""Models of ordinal and categorical endpoints, fitted on training rows and frozen as JSON.

Multinomial models of prespecified clinical terms are statsmodels' MNLogit, proportional-odds models are fitted here.
Checked against R's nnet::multinom and rms::lrm.

Everywhere: `level` (n,) the place of the outcome among its levels.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import norm
from statsmodels.discrete.discrete_model import MNLogit

from recur.cohort.training import Training
from recur.fit.design import designs_of, imputed_terms
from recur.fit.separation import combinations, remedy
from recur.statistics.estimate import NotEstimable

LARGEST = 15.0  # log odds per SD of a covariate: beyond it levels are separated
MAX_STEPS = 100
COEFFICIENTS = ["model", "level", "term", "label", "coef", "se", "or", "lower", "upper", "p", "n", "smallest_level"]


def category_models(train: Training, settings: dict[str, Any], seed: int) -> dict[str, dict[str, Any]]:
    """name -> frozen model: `multinomial_pre` and, of an ordinal endpoint, `ordinal_pre`; the same with the terms known
    after the operation (`_post`). A model that cannot be estimated holds the reason under `failed`.
    """
    models = {}
    candidates = settings["candidates"]
    kinds = ["multinomial"]
    if settings["ordered"]:
        kinds.append("ordinal")
    for timing, terms in (("pre", candidates["pre"]), ("post", candidates["pre"] + candidates["post"])):
        if not terms or (timing == "post" and not candidates["post"]):
            continue
        imputed = imputed_terms(train, terms, settings, seed)
        _, x, columns, imputer = designs_of(train, terms, None, settings, imputed)
        for kind in kinds:
            try:
                if kind == "multinomial":
                    fitted = fit_multinomial(x, train.outcome.event)
                else:
                    fitted = fit_ordinal(x, train.outcome.event)
            except NotEstimable as error:
                fitted = {"failed": f"{error}{blame_levels(x, columns, train.outcome.event, settings['levels'])}"}
            counts = np.bincount(train.outcome.event, minlength=len(settings["levels"]))
            models[f"{kind}_{timing}"] = fitted | {
                "kind": kind, "timing": timing, "levels": [str(level) for level in settings["levels"]],
                "terms": columns, "imputer": imputer, "n": len(train.patient_id), "counts": counts.tolist(),
            }  # fmt: skip
    return models


def blame_levels(x: np.ndarray, columns: list[dict[str, Any]], level: np.ndarray, names: list[Any]) -> str:
    """Which columns (n, p) separate the outcome's levels (n,), and what to do, to follow the reason of a failed fit.

    A value of a binary column that a level has none of, numbers of a level beyond those of all others, and columns that
    are a sum of others.
    """
    reasons = []
    for j, column in enumerate(columns):
        values = np.unique(x[:, j])
        for place in np.unique(level):
            of_level = x[level == place, j]
            of_other_levels = x[level != place, j]
            if len(values) == 2 and np.ptp(of_level) == 0:
                which = "without it" if of_level[0] == values[0] else "with it"
                reasons.append(
                    f"{column['label']}: all {len(of_level)} training patients of level {names[place]} are {which}"
                )
            elif len(values) > 2 and (
                of_level.min() >= of_other_levels.max() or of_level.max() <= of_other_levels.min()
            ):
                side = "above" if of_level.min() >= of_other_levels.max() else "below"
                reasons.append(f"{column['label']}: level {names[place]} lies {side} all others")
    return remedy(reasons + combinations(x, columns))


def standard(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    centre = x.mean(axis=0)
    scale = x.std(axis=0)
    return (x - centre) / scale, centre, scale


def checked(converged: bool, coef: np.ndarray) -> None:
    """Raise NotEstimable for a fit that did not converge or ran away."""
    if not converged:
        raise NotEstimable("no convergence: a coefficient is probably infinite")
    if not np.isfinite(coef).all() or np.abs(coef).max(initial=0) > LARGEST:
        raise NotEstimable("a coefficient is infinite (the covariates separate the levels)")


def fit_multinomial(x: np.ndarray, level: np.ndarray) -> dict[str, Any]:
    """Log odds of each level against the first: seen (k,), intercept (k - 1,), coef and se (k - 1, p), loglik."""
    z, centre, scale = standard(x)
    seen, code = np.unique(level, return_inverse=True)
    design = np.column_stack([np.ones(len(z)), z])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is checked below
        try:
            result = MNLogit(code, design).fit(method="newton", maxiter=100, tol=1e-12, disp=0)
            errors = np.asarray(result.bse).T[:, 1:]
        except (np.linalg.LinAlgError, ValueError) as error:
            raise NotEstimable("the covariates separate the levels or are collinear") from error
    params = np.asarray(result.params).T
    checked(result.mle_retvals["converged"], params[:, 1:])
    coef = params[:, 1:] / scale
    return {
        "seen": seen.tolist(), "intercept": (params[:, 0] - coef @ centre).tolist(), "coef": coef.tolist(),
        "se": (errors / scale).tolist(), "loglik": float(result.llf),
    }  # fmt: skip


def fit_ordinal(x: np.ndarray, level: np.ndarray) -> dict[str, Any]:
    """Proportional odds, logit P(level <= j) = threshold_j - x coef: seen, threshold (k - 1,), coef, se (1, p), loglik.

    Newton's method with the observed information (McCullagh, J R Stat Soc B 1980), as R's polr; statsmodels'
    OrderedModel differentiates numerically and stops short of the sixth digit.
    """
    z, centre, scale = standard(x)
    seen, code = np.unique(level, return_inverse=True)
    cuts = len(seen) - 1
    n = len(z)
    theta = np.concatenate([logit(np.cumsum(np.bincount(code))[:-1] / n), np.zeros(z.shape[1])])
    # the limits of each row's level as linear functions of theta; beyond the ends they are infinite
    upper, lower = (np.column_stack([np.eye(cuts + 1)[:, :cuts][np.minimum(code - k, cuts)], -z]) for k in (0, 1))
    top = code == cuts
    bottom = code == 0

    def terms(theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Log-likelihood, gradient and observed information."""
        above = expit(upper @ theta)
        below = expit(lower @ theta)
        above[top] = 1.0
        below[bottom] = 0.0
        share = above - below
        if not (share > 0).all():
            return -np.inf, theta, np.eye(len(theta))
        slopes = above * (1 - above), below * (1 - below)
        first = (slopes[0][:, None] * upper - slopes[1][:, None] * lower) / share[:, None]
        bends = slopes[0] * (1 - 2 * above) / share, slopes[1] * (1 - 2 * below) / share
        information = first.T @ first - (upper * bends[0][:, None]).T @ upper + (lower * bends[1][:, None]).T @ lower
        return float(np.log(share).sum()), first.sum(axis=0), information

    value, gradient, information = terms(theta)
    converged = False
    for _ in range(MAX_STEPS):
        try:
            step = np.linalg.solve(information, gradient)
        except np.linalg.LinAlgError as error:
            raise NotEstimable("the covariates are collinear") from error
        converged = np.abs(step).max() < 1e-10
        if converged:
            break
        stepped = terms(theta + step)
        while stepped[0] < value - 1e-12 * (1 + abs(value)):
            step = step / 2
            stepped = terms(theta + step)
        theta = theta + step
        value, gradient, information = stepped
    coef = theta[cuts:]
    checked(converged, coef)
    error = np.sqrt(np.diag(np.linalg.inv(information))[cuts:])
    return {
        "seen": seen.tolist(), "threshold": (theta[:cuts] + coef / scale @ centre).tolist(),
        "coef": [(coef / scale).tolist()], "se": [(error / scale).tolist()], "loglik": value,
    }  # fmt: skip


def coefficient_rows(models: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Odds ratios with Wald limits (COEFFICIENTS): of a level against the reference, or per step up the levels."""
    rows = []
    for name, model in models.items():
        if "failed" in model:
            rows.append({"model": name, "term": "", "label": f"not estimated: {model['failed']}", "n": model["n"]})
            continue
        if model["kind"] == "multinomial":
            levels = [model["levels"][j] for j in model["seen"][1:]]
        else:
            levels = ["each step up"]
        for level, coefs, errors in zip(levels, model["coef"], model["se"], strict=True):
            for column, coef, se in zip(model["terms"], coefs, errors, strict=True):
                rows.append(
                    {"model": name, "level": level, "term": column["name"], "label": column["label"], "coef": coef}
                    | {"se": se, "or": np.exp(coef), "lower": np.exp(coef - norm.ppf(0.975) * se)}
                    | {"upper": np.exp(coef + norm.ppf(0.975) * se), "p": 2 * norm.sf(abs(coef / se))}
                    | {"n": model["n"], "smallest_level": min(c for c in model["counts"] if c)}
                )
    return pd.DataFrame(rows, columns=COEFFICIENTS)
