"""Regression of an outcome of several levels: multinomial (statsmodels' MNLogit) and proportional odds, fitted here.

Checked against R's nnet::multinom and rms::lrm. Everywhere: `level` (n,) the place of the outcome among its levels.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.special import expit, logit
from statsmodels.discrete.discrete_model import MNLogit

from recur.statistics.estimate import NotEstimable

LARGEST = 15.0  # log odds per SD of a covariate: beyond it levels are separated
MAX_STEPS = 100


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
