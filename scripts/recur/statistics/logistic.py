"""Logistic regression: maximum likelihood, and Firth's or a ridge penalty where groups are separated.

Written by hand as recur.statistics.cox is: a resampling run refits thousands of models, one Newton loop serves all
likelihoods, and statsmodels has no Firth's. Firth, Biometrika 1993; Heinze & Schemper, Stat Med 2002. Checked against
R's glm, step, logistf and glmnet. The ridge penalty is set beforehand, not tuned: tuning fails in just the small and
separated samples that need a penalty (Sinkovec et al., BMC Med Res Methodol 2021). Models of several categories are
statsmodels' (recur.validation.categories).

Everywhere: `x` (n, p) covariates without the intercept, `event` (n,) 0/1 or bool, `weight` (n,) of the rows (as
probability weights, R survey's svyglm), None where all weigh 1; a row that weighs 0 is left out, whatever its event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import chi2

from recur.statistics.cox import likelihood_ratio_test, solve_information
from recur.statistics.estimate import Z95, NotEstimable, Separated

MAX_ITERATIONS = 100
CONVERGED = 1e-14  # Newton decrement
MONOTONE_STEP = 1e-3  # in SD of the covariate: a step this long at a flat likelihood means an infinite coefficient
LONGEST_STEP = 5.0  # of a coefficient per SD in one step of Firth's iteration, as logistf's maxstep
NEAR, FAR_STEPS = 0.3, 10  # a step this short, or this many steps, begin BFGS
LAST_STEP = 1e-9  # of Firth's iteration
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
    is then what loglik means, and the covariance of RIDGE is that of the penalised information; loglik_null is that
    with all coefficients 0, a penalty's determinant still that of all. Of a penalised fit ratio_test(columns) ->
    dict(chi2, df, p) is the penalised likelihood ratio that their coefficients are 0. covariance_full (p + 1, p + 1)
    begins with the intercept. `offset` (n,) is a linear predictor with coefficient fixed at 1. With `weight`
    likelihoods are weighted sums and the covariance of maximum likelihood is the sandwich, with the weights taken as
    known: too wide, if anything, where they are estimated from the same rows (Lunceford & Davidian, Stat Med 2004). For
    penalised weighted likelihoods no such theory is known; they keep the inverse curvature. parameters: what AIC
    counts, p, under weights the trace of Lumley & Scott (J Surv Stat Methodol 2015). Raises NotEstimable with one
    class, a constant or collinear covariate, and Separated, of maximum likelihood, where covariates separate the
    classes.
    """
    robust = weight is not None and method == ML
    x, event, weight, fixed = _arrays(x, event, weight, offset)
    _share(event, weight)
    centre, scale = x.mean(axis=0), x.std(axis=0)
    constant = np.flatnonzero(scale <= 1e-12 * np.maximum(1.0, np.abs(centre)))
    if constant.size:
        raise NotEstimable("a covariate is constant")
    z = np.column_stack([np.ones(len(event)), (x - centre) / scale])
    # collinear columns end here; what fails later is separation
    solve_information(z.T @ z, np.zeros(z.shape[1]))

    rows = _Likelihood(z, event, weight, fixed, method)
    origin = np.zeros(z.shape[1])

    def held(columns: Sequence[int]) -> float:
        """The log-likelihood with the coefficients of the columns held at 0."""
        free = np.delete(np.arange(z.shape[1]), [1 + j for j in columns])
        return _newton(rows, free, origin)[1]

    loglik_null = held(range(x.shape[1]))
    try:
        theta, loglik, covariance = _newton(rows, np.arange(z.shape[1]), origin)
    except NotEstimable as error:
        if method != ML:
            raise
        raise Separated(INFINITE) from error
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
    penalised = {}
    if method != ML:
        penalised["ratio_test"] = lambda columns: likelihood_ratio_test(loglik, held(columns), len(columns))
    return penalised | {
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


class _Likelihood(NamedTuple):
    z: np.ndarray  # (n, p + 1) covariates, the first of them 1
    event: np.ndarray  # (n,)
    weight: np.ndarray  # (n,)
    offset: np.ndarray  # (n,) fixed part of the log odds
    method: str


def _firth_terms(rows: _Likelihood, theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Firth's penalised log-likelihood, its gradient and the information."""
    eta = rows.offset + rows.z @ theta
    risk = expit(eta)
    spread = rows.weight * risk * (1 - risk)
    information = (rows.z * spread[:, None]).T @ rows.z
    sign, size = np.linalg.slogdet(information)
    if not sign > 0 or not np.isfinite(size):
        return -np.inf, theta, information
    hat = spread * np.einsum("ij,ij->i", rows.z, np.linalg.solve(information, rows.z.T).T)
    gradient = rows.z.T @ (rows.weight * (rows.event - risk) + hat * (0.5 - risk))
    loglik = float((rows.weight * log_likelihoods(eta, rows.event)).sum())
    return loglik + size / 2, gradient, information


def maximum(
    terms: Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]], free: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray]:
    """Coefficients, value and information at the maximum of a penalised likelihood; only the columns `free` are moved.

    terms(coefficients) -> value, gradient, information, of covariates per SD. The information leaves the curvature of
    the penalty out, and where this is as large its steps swing to and fro (a level of one patient): near the maximum
    BFGS learns the curvature. The value is -inf where the held coefficients lie so far out that nothing is left to see.
    """
    theta = start.copy()
    value, gradient, information = terms(theta)
    if not len(free) or not np.isfinite(value):
        return theta, value, information
    curvature, near = information[np.ix_(free, free)], False
    for iteration in range(MAX_ITERATIONS):
        step = solve_information(curvature, gradient[free])
        longest = max(LONGEST_STEP, np.abs(theta).max())  # what orders all events lies hundreds of SD away
        step *= min(1.0, longest / max(np.abs(step).max(), 1e-300))
        size = 1.0
        while True:
            candidate = theta.copy()
            candidate[free] += size * step
            found = terms(candidate)
            if found[0] >= value - 1e-13 * (1 + abs(value)) or size < 1e-6:
                break
            size /= 2
        moved, bent = size * step, gradient[free] - found[1][free]
        theta, (value, gradient, information) = candidate, found
        if np.abs(moved).max() < LAST_STEP:
            return theta, value, information
        near = near or np.abs(moved).max() < NEAR or iteration > FAR_STEPS
        if not near:
            curvature = information[np.ix_(free, free)]
        elif moved @ bent > 0:
            pulled = curvature @ moved
            curvature = curvature + np.outer(bent, bent) / (moved @ bent)
            curvature -= np.outer(pulled, pulled) / (moved @ pulled)
    raise NotEstimable(f"no convergence of the penalised likelihood in {MAX_ITERATIONS} iterations")


def _prior(columns: int, method: str) -> np.ndarray:
    """Precision (columns,) of the prior on every coefficient of standardised covariates; none on the intercept."""
    return np.r_[0.0, np.full(columns - 1, 1 / RIDGE_VARIANCE if method == RIDGE else 0.0)]


def _newton(rows: _Likelihood, free: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Coefficients, (penalised) log-likelihood and the inverse information; only the columns `free` are moved."""
    z, event, weight, fixed, method = rows
    theta = start
    if method == FIRTH:
        theta, loglik, information = maximum(lambda at: _firth_terms(rows, at), free, theta)
        return theta, loglik, solve_information(information, np.eye(z.shape[1]))
    prior = _prior(z.shape[1], method)
    eta = fixed + z @ theta
    loglik = float((weight * log_likelihoods(eta, event)).sum()) - prior @ theta**2 / 2
    for _ in range(MAX_ITERATIONS):
        risk = expit(eta)
        spread = weight * risk * (1 - risk)
        information = (z * spread[:, None]).T @ z + np.diag(prior)
        residual = weight * (event - risk)
        gradient = z[:, free].T @ residual - (prior * theta)[free]
        step = solve_information(information[np.ix_(free, free)], gradient)
        decrement, size = float(gradient @ step), 1.0
        while True:
            candidate = theta.copy()
            candidate[free] += size * step
            eta = fixed + z @ candidate
            new = float((weight * log_likelihoods(eta, event)).sum()) - prior @ candidate**2 / 2
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


def fit_or_penalised(
    x: ArrayLike, event: ArrayLike, separated: str = FIRTH, weight: np.ndarray | None = None, copies: int = 1
) -> dict:
    """Maximum likelihood, or the method `separated` (FIRTH or RIDGE) where it does not exist because groups are
    separated; `method` says which. `copies` of the rows below each other (imputations) weigh 1 / copies each beside the
    penalty; log-likelihood and information are those of all rows.
    """
    try:
        return fit_logistic(x, event, weight=weight)
    except Separated:
        share = np.full(len(event), 1 / copies) if weight is None else weight / copies
        fitted = fit_logistic(x, event, separated, weight=None if weight is None and copies == 1 else share)
    for key, factor in (("loglik", copies), ("loglik_null", copies), ("covariance", 1 / copies)):
        fitted[key] = fitted[key] * factor
    return fitted | {"se": np.sqrt(np.diag(fitted["covariance"]))}


def profile_interval(x: ArrayLike, event: ArrayLike, column: int, method: str = FIRTH) -> tuple[float, float, float]:
    """(lower, upper, p) of one coefficient by its profile (penalised) likelihood, 95 %; p of the ratio test."""
    x, event, weight, fixed = _arrays(x, event)
    spread = x.std(axis=0)
    z = x / spread
    fitted = fit_logistic(z, event, method)
    z = np.column_stack([np.ones(len(event)), z])
    free = np.delete(np.arange(z.shape[1]), column + 1)
    rows = _Likelihood(z, event, weight, fixed, method)
    best = np.concatenate([[fitted["intercept"]], fitted["coef"]])

    def drop(value: float) -> float:
        """Twice the loss of log-likelihood with the coefficient held at a value."""
        start = best.copy()
        start[column + 1] = value
        return 2 * (fitted["loglik"] - _newton(rows, free, start)[1])

    lower, upper, p = profile_limits(drop, float(best[column + 1]), float(fitted["se"][column]))
    return lower / spread[column], upper / spread[column], p


def profile_limits(drop: Callable[[float], float], best: float, se: float) -> tuple[float, float, float]:
    """(lower, upper, p) of a coefficient, 95 %, where twice the loss of log-likelihood `drop` passes its centile; p of
    the ratio test that it is 0. NaN for a limit that lies further than 1000 standard errors.
    """
    limits = []
    for sign in (-1, 1):
        near, far = best, best + sign * Z95 * se
        while drop(far) < LR_95 and abs(far - best) < 1000 * se:
            near, far = far, far + sign * (abs(far - best))
        found = np.nan
        if drop(far) >= LR_95:
            found = float(brentq(lambda value: drop(value) - LR_95, *sorted((near, far)), xtol=1e-10))
        limits.append(found)
    return limits[0], limits[1], float(chi2.sf(max(drop(0.0), 0.0), 1))
