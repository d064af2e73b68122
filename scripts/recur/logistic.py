"""Logistic regression: maximum likelihood, and Firth's or a ridge penalty where groups are separated.

Written by hand as recur.cox is: a resampling run refits thousands of models, one Newton loop serves all likelihoods,
and statsmodels has no Firth's. Firth, Biometrika 1993; Heinze & Schemper, Stat Med 2002. Checked against R's glm, step,
logistf and glmnet. The ridge penalty is set beforehand, not tuned: tuning fails in just the small and separated samples
that need a penalty (Sinkovec et al., BMC Med Res Methodol 2021). Models of several categories are statsmodels'
(recur.categories).

Everywhere: `x` (n, p) covariates without the intercept, `event` (n,) 0/1 or bool, `weight` (n,) of the rows (as
probability weights, R survey's svyglm), None where all weigh 1; a row that weighs 0 is left out, whatever its event.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import chi2

from recur.cox import NotEstimable, backward, solve_information
from recur.survival import Z95

MAX_ITERATIONS = 100
CONVERGED = 1e-14  # Newton decrement
MONOTONE_STEP = 1e-3  # in SD of the covariate: a step this long at a flat likelihood means an infinite coefficient
LONGEST_STEP = 5.0  # of a coefficient per SD in one step of Firth's iteration, as logistf's maxstep
LR_95 = float(chi2.ppf(0.95, 1))
ML, FIRTH, RIDGE = "maximum likelihood", "Firth", "ridge"
# of the normal prior on a log odds ratio per SD: 95 % of the odds ratios within 1/4 and 4
RIDGE_VARIANCE = 0.5
INFINITE = "a coefficient is infinite (the covariates separate the classes)"


def _arrays(
    x: ArrayLike, event: ArrayLike, weight: np.ndarray | None = None, offset: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Covariates, outcome, weights and offset of the rows that weigh something."""
    x, event = np.asarray(x, float), np.asarray(event).astype(float)
    x = x[:, None] if x.ndim == 1 else x
    if not np.isfinite(x).all():
        raise ValueError("missing or infinite covariates")
    offset = np.zeros(len(event)) if offset is None else np.asarray(offset, float)
    if weight is None:
        return x, event, np.ones(len(event)), offset
    weight = np.asarray(weight, float)
    return tuple(values[weight > 0] for values in (x, event, weight, offset))


def log_likelihoods(eta: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Bernoulli log-likelihood of every row at log odds eta (n,) or (n, m)."""
    event = np.asarray(event, float).reshape(-1, *[1] * (eta.ndim - 1))
    return event * eta - np.logaddexp(0, eta)


def best_intercept(offset: np.ndarray, event: np.ndarray, weight: np.ndarray | None = None) -> float:
    """The maximum likelihood intercept beside fixed log odds (n,): the mean risk is then the share of events."""
    _, event, weight, offset = _arrays(np.zeros((len(event), 0)), event, weight, offset)
    share = _share(event, weight)
    middle = np.log(share / (1 - share)) - offset

    def surplus(value: float) -> float:
        return float((weight * (expit(offset + value) - event)).sum())

    return float(brentq(surplus, middle.min() - 1e-9, middle.max() + 1e-9, xtol=1e-14, rtol=1e-14))


def _share(event: np.ndarray, weight: np.ndarray) -> float:
    """Weighted share of events; raises NotEstimable where it is 0 or 1."""
    if not len(event) or not 0 < event.mean() < 1:
        raise NotEstimable("all patients have the same outcome")
    return float(np.average(event, weights=weight))


def fit_logistic(
    x: ArrayLike,
    event: ArrayLike,
    method: str = ML,
    offset: ArrayLike | None = None,
    weight: np.ndarray | None = None,
) -> dict:
    """dict(intercept, coef (p,), se (p,), covariance (p, p), covariance_full, loglik, loglik_null, method, parameters).

    method FIRTH maximises loglik + log |information| / 2, RIDGE loglik - sum((coef SD)^2) / (2 RIDGE_VARIANCE), which
    is then what loglik means, and the covariance of RIDGE is that of the penalised information; loglik_null is that of
    the intercept alone. covariance_full (p + 1, p + 1) begins with the intercept. `offset` (n,) is a linear predictor
    with coefficient fixed at 1. With `weight` likelihoods are weighted sums and the covariance of maximum likelihood is
    the sandwich, with the weights taken as known: too wide, if anything, where they are estimated from the same rows
    (Lunceford & Davidian, Stat Med 2004). For penalised weighted likelihoods no such theory is known; they keep the
    inverse curvature. parameters: what AIC counts, p, under weights the trace of Lumley & Scott (J Surv Stat Methodol
    2015). Raises NotEstimable with one class, a constant or collinear covariate, and, of maximum likelihood, where
    covariates separate the classes.
    """
    robust = weight is not None and method == ML
    x, event, weight, fixed = _arrays(x, event, weight, offset)
    _share(event, weight)
    centre, scale = x.mean(axis=0), x.std(axis=0)
    constant = np.flatnonzero(scale <= 1e-12 * np.maximum(1.0, np.abs(centre)))
    if constant.size:
        raise NotEstimable(f"covariate {constant[0]} is constant")
    z = np.column_stack([np.ones(len(event)), (x - centre) / scale])
    # collinear columns end here; what fails later is separation
    solve_information(z.T @ z, np.zeros(z.shape[1]))
    _, loglik_null, _ = _newton(z[:, :1], event, weight, fixed, method, np.zeros(1, int))
    try:
        theta, loglik, covariance = _newton(z, event, weight, fixed, method, np.arange(z.shape[1]))
    except NotEstimable as error:
        raise NotEstimable(INFINITE) from error
    parameters = float(x.shape[1])
    if robust:
        curvature = covariance
        influence = (z * (weight * (event - expit(fixed + z @ theta)))[:, None]) @ curvature
        covariance = influence.T @ influence
        parameters = float(np.trace(np.linalg.solve(curvature[1:, 1:], covariance[1:, 1:])))
    # back to the covariates' own units: theta = back @ (intercept, coef)
    back = np.zeros_like(covariance)
    back[0, 0], back[0, 1:] = 1.0, -centre / scale
    back[np.arange(1, len(back)), np.arange(1, len(back))] = 1 / scale
    covariance, theta = back @ covariance @ back.T, back @ theta
    return {
        "intercept": float(theta[0]),
        "coef": theta[1:],
        "se": np.sqrt(np.diag(covariance)[1:]),
        "covariance": covariance[1:, 1:],
        "covariance_full": covariance,
        "loglik": loglik,
        "loglik_null": loglik_null,
        "method": method,
        "parameters": parameters,
    }


def _loglik(z: np.ndarray, event: np.ndarray, weight: np.ndarray, eta: np.ndarray, method: str) -> float:
    value = float((weight * log_likelihoods(eta, event)).sum())
    if method == FIRTH:
        risk = expit(eta)
        value += np.linalg.slogdet((z * (weight * risk * (1 - risk))[:, None]).T @ z)[1] / 2
    return value


def _prior(columns: int, method: str) -> np.ndarray:
    """Precision (columns,) of the prior on every coefficient of standardised covariates; none on the intercept."""
    return np.r_[0.0, np.full(columns - 1, 1 / RIDGE_VARIANCE if method == RIDGE else 0.0)]


def _newton(
    z: np.ndarray,
    event: np.ndarray,
    weight: np.ndarray,
    fixed: np.ndarray,
    method: str,
    free: np.ndarray,
    start: np.ndarray | None = None,
) -> tuple[np.ndarray, float, np.ndarray]:
    """Coefficients, (penalised) log-likelihood and the inverse information; only the columns `free` are moved."""
    theta = np.zeros(z.shape[1]) if start is None else start.copy()
    prior = _prior(z.shape[1], method)
    eta = fixed + z @ theta
    loglik = _loglik(z, event, weight, eta, method) - prior @ theta**2 / 2
    for _ in range(MAX_ITERATIONS):
        risk = expit(eta)
        spread = weight * risk * (1 - risk)
        information = (z * spread[:, None]).T @ z + np.diag(prior)
        residual = weight * (event - risk)
        if method == FIRTH:
            hat = spread * np.einsum("ij,ij->i", z, np.linalg.solve(information, z.T).T)
            residual = residual + hat * (0.5 - risk)
        gradient = z[:, free].T @ residual - (prior * theta)[free]
        step = solve_information(information[np.ix_(free, free)], gradient)
        if method == FIRTH:
            step *= min(1.0, LONGEST_STEP / max(np.abs(step).max(), 1e-300))
        decrement, size = float(gradient @ step), 1.0
        while True:
            candidate = theta.copy()
            candidate[free] += size * step
            eta = fixed + z @ candidate
            new = _loglik(z, event, weight, eta, method) - prior @ candidate**2 / 2
            if new >= loglik - 1e-12 * (1 + abs(loglik)) or size < 1e-6:
                break
            size /= 2
        theta, loglik = candidate, new
        if decrement < CONVERGED:
            if np.abs(step).max() > MONOTONE_STEP:
                break
            risk = expit(eta)
            information = (z * (weight * risk * (1 - risk))[:, None]).T @ z + np.diag(prior)
            return theta, loglik, solve_information(information, np.eye(z.shape[1]))
    raise NotEstimable(INFINITE)


def fit_or_penalised(x: ArrayLike, event: ArrayLike, separated: str = FIRTH, weight: np.ndarray | None = None) -> dict:
    """Maximum likelihood, or the method `separated` (FIRTH or RIDGE) where it does not exist because groups are
    separated; `method` says which.
    """
    try:
        return fit_logistic(x, event, weight=weight)
    except NotEstimable as error:
        if str(error) != INFINITE:
            raise
        return fit_logistic(x, event, separated, weight=weight)


def profile_interval(x: ArrayLike, event: ArrayLike, column: int, method: str = FIRTH) -> tuple[float, float, float]:
    """(lower, upper, p) of one coefficient by its profile (penalised) likelihood, 95 %; p of the ratio test."""
    x, event, weight, fixed = _arrays(x, event)
    spread = x.std(axis=0)
    z = x / spread
    fitted = fit_logistic(z, event, method)
    z = np.column_stack([np.ones(len(event)), z])
    free = np.delete(np.arange(z.shape[1]), column + 1)
    best, own = np.concatenate([[fitted["intercept"]], fitted["coef"]]), column + 1

    def drop(value: float) -> float:
        """Twice the loss of log-likelihood with the coefficient held at a value."""
        start = best.copy()
        start[own] = value
        return 2 * (fitted["loglik"] - _newton(z, event, weight, fixed, method, free, start)[1])

    limits = []
    for sign in (-1, 1):
        near, far = best[own], best[own] + sign * Z95 * fitted["se"][column]
        while drop(far) < LR_95:
            near, far = far, far + sign * fitted["se"][column]
        limits.append(brentq(lambda value: drop(value) - LR_95, *sorted((near, far)), xtol=1e-10) / spread[column])
    return limits[0], limits[1], float(chi2.sf(max(drop(0.0), 0.0), 1))


def backward_elimination(
    x: ArrayLike,
    names: Sequence[str],
    event: ArrayLike,
    terms: Sequence[Sequence[int]] | None = None,
    copies: int = 1,
    separated: str = FIRTH,
    weight: np.ndarray | None = None,
    p_remove: float | None = None,
    parents: Sequence[Sequence[int]] | None = None,
) -> tuple[list[str], pd.DataFrame]:
    """Backward elimination on AIC (R step on a glm) or by p; see recur.cox.backward_elimination.

    Under weights the AIC is that of R's AIC.svyglm.
    """
    x = np.asarray(x, float)
    terms = [[i] for i in range(x.shape[1])] if terms is None else [list(term) for term in terms]
    return backward(
        lambda columns: fit_or_penalised(x[:, columns], event, separated, weight),
        names,
        terms,
        copies,
        p_remove,
        parents,
    )
