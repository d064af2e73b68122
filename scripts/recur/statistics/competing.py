"""Competing risks: cumulative incidence, Fine-Gray and cause-specific prediction, concordance.

Written by hand: lifelines' Aalen-Johansen estimator jitters tied times (7e-4 off) and no kept Python package has the
Fine-Gray model with R cmprsk's weights and variance. Checked against survival::survfit, cmprsk::crr,
riskRegression::CSC and pec::cindex.

Everywhere: `time` (n,) follow-up, `event` (n,) 0/1 the event of interest, `competing` (n,) 0/1 the other event (death
without recurrence); neither is censoring.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm

from recur.statistics.cox import LONG_STEPS, MAX_ITERATIONS, solve_information
from recur.statistics.estimate import MIN_AT_RISK, Z95, NotEstimable, Separated, blank, checked_arrays
from recur.statistics.ipcw import before, censoring_survival


def states(time: ArrayLike, event: ArrayLike, competing: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Time, event and competing event as checked arrays; nobody has both."""
    time, event = checked_arrays(time, event)
    _, competing = checked_arrays(time, competing)
    if (event & competing).any():
        raise ValueError("a patient has both the event and the competing event")
    return time, event, competing


def cumulative_incidence(time: ArrayLike, event: ArrayLike, competing: ArrayLike) -> pd.DataFrame:
    """Aalen-Johansen incidence of the event at every distinct time, from a row at time 0.

    Columns time, n_risk, n_event, n_competing, n_censor, incidence, se, lower, upper (95%, log-log). The se is the
    infinitesimal jackknife of R survfit, not cmprsk's Aalen variance.
    """
    time, event, competing = states(time, event, competing)
    n = len(time)
    times, index = np.unique(time, return_inverse=True)
    counts = [np.bincount(index, weights=part, minlength=len(times)) for part in (event, competing)]
    leaving = np.bincount(index, minlength=len(times))
    n_risk = leaving[::-1].cumsum()[::-1].astype(float)
    hazard, total = counts[0] / n_risk, (counts[0] + counts[1]) / n_risk
    free = np.concatenate([[1.0], np.cumprod(1 - total)])  # without any event just after each time
    incidence = np.cumsum(free[:-1] * hazard)
    se = np.zeros(len(times))
    step = max(1, 2**22 // max(len(times), 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = np.where(total < 1, 1 / (1 - total), 0.0)  # at 1 everybody left and nothing follows
    for i in range(0, n, step):
        rows = slice(i, i + step)
        at_risk = np.arange(len(times)) <= index[rows, None]
        own = np.arange(len(times)) == index[rows, None]
        martingale = (own * event[rows, None] - at_risk * hazard) / n_risk
        every = (own * (event | competing)[rows, None] - at_risk * total) / n_risk * kept
        drift = np.cumsum(every, axis=1)
        earlier = np.hstack([np.zeros((len(drift), 1)), drift[:, :-1]])
        influence = np.cumsum(free[:-1] * (martingale - earlier * hazard), axis=1)
        se += (influence**2).sum(axis=0)
    se = np.sqrt(se)
    lower, upper = _loglog(incidence, se)
    columns = {"time": times, "n_risk": n_risk.astype(int), "n_event": counts[0].astype(int)}
    columns |= {"n_competing": counts[1].astype(int), "n_censor": (leaving - counts[0] - counts[1]).astype(int)}
    table = pd.DataFrame(columns | {"incidence": incidence, "se": se, "lower": lower, "upper": upper})
    if len(times) and times[0] == 0:
        return table
    start = dict.fromkeys(table, 0) | {"n_risk": n}
    return pd.concat([pd.DataFrame([start]).astype(table.dtypes.to_dict()), table], ignore_index=True)


def _loglog(incidence: np.ndarray, se: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95% limits of an incidence by log(-log), as survfit's conf.type; 0 and 1 have no width."""
    with np.errstate(divide="ignore", invalid="ignore"):
        width = -Z95 * se / (incidence * np.log(incidence))
        lower, upper = incidence ** np.exp(width), incidence ** np.exp(-width)
    certain = (incidence <= 0) | (incidence >= 1)
    return np.where(certain, incidence, lower), np.where(certain, incidence, upper)


def incidence_at(time: ArrayLike, event: ArrayLike, competing: ArrayLike, horizon: float) -> float:
    """Aalen-Johansen incidence of the event by `horizon`, of these patients."""
    time, event, competing = states(time, event, competing)
    order = np.argsort(time, kind="stable")
    times, first = np.unique(time[order], return_index=True)
    n_risk = len(time) - first
    totals = [np.add.reduceat(part[order].astype(float), first) / n_risk for part in (event, event | competing)]
    free = np.concatenate([[1.0], np.cumprod(1 - totals[1])[:-1]])
    return float((free * totals[0])[times <= horizon].sum())


def incidence_rates(time: ArrayLike, event: ArrayLike, competing: ArrayLike, horizons: ArrayLike) -> pd.DataFrame:
    """Incidence at each horizon, as recur.statistics.survival.survival_rates with its columns (survival = 1 -
    incidence).
    """
    curve = cumulative_incidence(time, event, competing)
    time, event, competing = states(time, event, competing)
    rows = []
    for horizon in horizons:
        row = {"horizon": float(horizon), "survival": np.nan, "lower": np.nan, "upper": np.nan}
        row |= {"n_risk": int((time >= horizon).sum()), "events": int((event & (time <= horizon)).sum()), "reason": ""}
        if horizon > time.max():
            row["reason"] = f"follow-up ends at {time.max():g}"
        else:
            at = curve.iloc[np.searchsorted(curve["time"], horizon, side="right") - 1]
            row |= {"survival": 1 - at["incidence"], "lower": 1 - at["upper"], "upper": 1 - at["lower"]}
        rows.append(row)
    return pd.DataFrame(rows)


def cause_specific_incidence(
    hazard: tuple[ArrayLike, ArrayLike],
    competing_hazard: tuple[ArrayLike, ArrayLike],
    lp: ArrayLike,
    lp_competing: ArrayLike,
    horizons: ArrayLike,
) -> np.ndarray:
    """Predicted incidence (n, J) of the event from two cause-specific Cox models.

    Each hazard is (times, cumulative baseline hazard). F1(t) = sum over s <= t of S(s-) dH1(s), S the product of
    1 - dH1 - dH2 (Benichou & Gail 1990; riskRegression::CSC), which never falls below 0.
    """
    times = np.union1d(np.asarray(hazard[0], float), np.asarray(competing_hazard[0], float))
    steps = []
    for at, cumulative in (hazard, competing_hazard):
        values = np.concatenate([[0.0], np.asarray(cumulative, float)])
        reached = values[np.searchsorted(np.asarray(at, float), times, side="right")]
        steps.append(np.diff(reached, prepend=0.0))
    lp, lp_competing = np.asarray(lp, float), np.asarray(lp_competing, float)
    horizons = np.atleast_1d(np.asarray(horizons, float))
    place = np.searchsorted(times, horizons, side="right")
    result = np.empty((len(lp), len(horizons)))
    size = max(1, 2**21 // max(len(times), 1))
    for i in range(0, len(lp), size):
        rows = slice(i, i + size)
        own = np.exp(lp[rows, None]) * steps[0]
        both = own + np.exp(lp_competing[rows, None]) * steps[1]
        free = np.cumprod(1 - np.minimum(both, 1.0), axis=1)
        before_step = np.hstack([np.ones((len(free), 1)), free[:, :-1]])
        grown = np.cumsum(before_step * own / np.maximum(both, 1.0), axis=1)
        grown = np.hstack([np.zeros((len(grown), 1)), grown])
        result[rows] = grown[:, place]
    return result


class _Subdistribution(NamedTuple):
    z: np.ndarray  # (n, p) standardised covariates
    event: np.ndarray  # (n,)
    times: np.ndarray  # (J,) event times
    place: np.ndarray  # (n,) event time of each patient; only of those with the event
    deaths: np.ndarray  # (J,) events at each time
    weight: np.ndarray  # (n, J) 1 at risk, G(t-) / G(T-) after a competing event
    gone: np.ndarray  # (n, J) after a competing event


class _Censoring(NamedTuple):
    grid: np.ndarray  # (K,) distinct times
    index: np.ndarray  # (n,) place of each patient's time
    n_risk: np.ndarray  # (K,)
    n_censor: np.ndarray  # (K,)
    before: np.ndarray  # (K,) G just before each time


@LONG_STEPS
def fit_fine_gray(x: ArrayLike, time: ArrayLike, event: ArrayLike, competing: ArrayLike) -> dict:
    """Fine-Gray model of the subdistribution hazard -> dict(coef, se, covariance, loglik, times, hazard, influence).

    As cmprsk::crr: Breslow ties, who had the competing event stays at risk with weight G(t-) / G(T-), G the
    Kaplan-Meier of censoring; sandwich variance with the term for having estimated G (Fine & Gray 1999). `hazard` is
    the cumulative baseline subdistribution hazard at x = 0 after each of `times`; `influence` (n, p) of the
    coefficients, `at_times` what predict_fine_gray needs.
    """
    time, event, competing = states(time, event, competing)
    x = np.asarray(x, float)
    x = x[:, None] if x.ndim == 1 else x
    if not event.any():
        raise NotEstimable("no events")
    centre, scale = x.mean(axis=0), x.std(axis=0)
    constant = np.flatnonzero(scale <= 1e-12 * np.maximum(1.0, np.abs(centre)))
    if constant.size:
        raise NotEstimable("a covariate is constant")
    censored = ~(event | competing)
    censoring = _censoring(time, censored)
    rows = _subdistribution((x - centre) / scale, time, event, competing, censoring)
    beta, terms, loglik_null = _fine_gray_maximum(rows)
    inverse = np.linalg.inv(terms.information)
    own_event = np.zeros((len(time), len(rows.times)))
    own_event[np.flatnonzero(event), rows.place[event]] = 1.0
    residual = own_event - terms.share * rows.deaths  # weighted martingale increments
    eta_i = np.einsum("ij,ia->ia", residual, rows.z) - residual @ terms.mean
    psi = np.zeros(rows.z.shape)
    if rows.gone.any() and censored.any():
        psi = _weights_influence(rows, residual, terms.mean, time, censored, censoring)
    influence = (eta_i + psi) @ inverse
    covariance = influence.T @ influence / (scale * scale[:, None])
    risk0 = (rows.weight * np.exp(rows.z @ beta)[:, None]).sum(axis=0)
    steps = rows.deaths / risk0
    at_times = {"centre": centre, "scale": scale, "steps": steps, "mean": terms.mean}
    return {
        "coef": beta / scale,
        "se": np.sqrt(np.diag(covariance)),
        "covariance": covariance,
        "loglik": terms.loglik,
        "loglik_null": loglik_null,
        "times": rows.times,
        "hazard": np.cumsum(steps) * np.exp(-(centre / scale) @ beta),
        "influence": influence,
        "at_times": at_times | {"residual": residual, "risk": risk0},
    }


def _censoring(time: np.ndarray, censored: np.ndarray) -> _Censoring:
    """Kaplan-Meier of censoring; events of the same time stay at risk, unlike the weights of Brier and AUC."""
    grid, index = np.unique(time, return_inverse=True)
    n_risk = np.bincount(index, minlength=len(grid))[::-1].cumsum()[::-1].astype(float)
    n_censor = np.bincount(index, weights=censored, minlength=len(grid))
    g = np.cumprod(1 - n_censor / n_risk)
    return _Censoring(grid, index, n_risk, n_censor, np.concatenate([[1.0], g[:-1]]))


def _subdistribution(
    z: np.ndarray, time: np.ndarray, event: np.ndarray, competing: np.ndarray, censoring: _Censoring
) -> _Subdistribution:
    times = np.unique(time[event])
    place = np.searchsorted(times, time)
    deaths = np.bincount(place[event], minlength=len(times)).astype(float)
    weight = np.where(time[:, None] >= times, 1.0, 0.0)
    gone = competing[:, None] & (time[:, None] < times)
    g_before = censoring.before
    at_times = np.searchsorted(censoring.grid, times)
    weight = np.where(gone, g_before[at_times] / g_before[censoring.index][:, None], weight)
    return _Subdistribution(z, event, times, place, deaths, weight, gone)


class _FineGrayTerms(NamedTuple):
    loglik: float
    gradient: np.ndarray  # (p,)
    information: np.ndarray  # (p, p)
    share: np.ndarray  # (n, J) of each patient in the hazard of a time
    mean: np.ndarray  # (J, p) of the covariates of those at risk


def _fine_gray_terms(rows: _Subdistribution, total: np.ndarray, beta: np.ndarray) -> _FineGrayTerms:
    """`total` (p,) is the sum of the covariates of those with the event."""
    z, deaths = rows.z, rows.deaths
    eta = z @ beta
    shift = eta.max()
    risk = rows.weight * np.exp(eta - shift)[:, None]
    s0 = risk.sum(axis=0)
    mean = (risk.T @ z) / s0[:, None]
    loglik = float(eta[rows.event].sum() - (deaths * (np.log(s0) + shift)).sum())
    share = risk / s0
    second = np.einsum("ij,j,ia,ib->ab", share, deaths, z, z, optimize=True)
    information = second - (mean * deaths[:, None]).T @ mean
    return _FineGrayTerms(loglik, total - deaths @ mean, information, share, mean)


def _fine_gray_maximum(rows: _Subdistribution) -> tuple[np.ndarray, _FineGrayTerms, float]:
    """Coefficients per SD by Newton-Raphson, the terms there, and the log-likelihood where all are 0."""
    total = rows.z[rows.event].sum(axis=0)
    beta = np.zeros(rows.z.shape[1])
    terms = _fine_gray_terms(rows, total, beta)
    loglik_null = terms.loglik
    for _ in range(MAX_ITERATIONS):
        step = solve_information(terms.information, terms.gradient)
        size = 1.0
        while True:
            tried = _fine_gray_terms(rows, total, beta + size * step)
            if np.isfinite(tried.loglik) and tried.loglik >= terms.loglik - 1e-9 * (1 + abs(terms.loglik)):
                break
            size /= 2
            if size < 1e-6:
                raise Separated("the partial likelihood cannot be increased: coefficients are infinite")
        beta = beta + size * step
        decrement = float(terms.gradient @ step)
        terms = tried
        if decrement < 1e-14:
            break
    else:
        raise Separated(f"no convergence in {MAX_ITERATIONS} iterations: a coefficient is probably infinite")
    if np.abs(step).max() > 1e-3:
        raise Separated("a coefficient is infinite (separation)")
    return beta, terms, loglik_null


def _weights_influence(
    rows: _Subdistribution,
    residual: np.ndarray,
    mean: np.ndarray,
    time: np.ndarray,
    censored: np.ndarray,
    censoring: _Censoring,
) -> np.ndarray:
    """Influence (n, p) on the score of having estimated G, which the weights after a competing event use between T and
    t (psi of Fine & Gray).
    """
    # who had the competing event
    members = np.flatnonzero(~(rows.event | censored))
    part = np.where(rows.gone, residual, 0.0)
    # q(u) = -sum over i, t of (z_i - mean(t)) dM_i(t) for T_i < u <= t
    q = np.zeros((len(censoring.grid), rows.z.shape[1]))
    tail = part[:, ::-1].cumsum(axis=1)[:, ::-1]
    tails = np.concatenate([tail[members], np.zeros((len(members), 1))], axis=1)
    reach = np.searchsorted(rows.times, censoring.grid, side="left")  # first event time t >= u
    earlier = time[members][:, None] < censoring.grid
    for a in range(rows.z.shape[1]):
        tail_mean = (part[members] * mean[:, a])[:, ::-1].cumsum(axis=1)[:, ::-1]
        tail_mean = np.concatenate([tail_mean, np.zeros((len(members), 1))], axis=1)
        values = rows.z[members, a][:, None] * tails[:, reach] - tail_mean[:, reach]
        q[:, a] = -np.where(earlier, values, 0.0).sum(axis=0)
    jump = q / censoring.n_risk[:, None]
    compensator = np.cumsum(jump * (censoring.n_censor / censoring.n_risk)[:, None], axis=0)
    return np.where(censored[:, None], jump[censoring.index], 0.0) - compensator[censoring.index]


def predict_fine_gray(fitted: dict, new: ArrayLike, horizon: float) -> tuple[np.ndarray, np.ndarray]:
    """Incidence (m,) at `horizon` for the rows of `new` (m, p), and the standard error of log(-log(1 - incidence)).

    The se is the infinitesimal jackknife with the censoring weights taken as known in the baseline.
    """
    inside = fitted["at_times"]
    z = (np.asarray(new, float).reshape(-1, len(fitted["coef"])) - inside["centre"]) / inside["scale"]
    used = fitted["times"] <= horizon
    beta = fitted["coef"] * inside["scale"]
    hazard = inside["steps"][used].sum()
    if hazard == 0:
        return np.zeros(len(z)), np.full(len(z), np.nan)
    # log of the hazard at z: influence of the baseline's steps and of the coefficients
    drift = (inside["steps"][used][:, None] * inside["mean"][used]).sum(axis=0)
    base = (inside["residual"][:, used] / inside["risk"][used]).sum(axis=1)
    influence = (base[:, None] - fitted["influence"] @ drift[:, None]) / hazard + fitted["influence"] @ z.T
    return 1 - np.exp(-hazard * np.exp(z @ beta)), np.sqrt((influence**2).sum(axis=0))


def c_competing(
    time: ArrayLike, event: ArrayLike, competing: ArrayLike, risk: ArrayLike, tau: float
) -> tuple[dict, np.ndarray]:
    """Concordance of Wolbers et al. (2009, 2014) for events up to `tau`, and its influence (n,).

    A patient with the event is compared with those who come later and with those who had the competing event at any
    time before (they never have the event). Inverse-probability weights of both members, as pec::cindex with
    cens.model = "marginal"; the se takes the weights as known. Ties in risk one half. Blank when fewer than MIN_AT_RISK
    patients are followed to tau, as uno_c.
    """
    time, event, competing = states(time, event, competing)
    _, _, risk = checked_arrays(time, event, risk)
    if (time >= tau).sum() < MIN_AT_RISK:
        return blank(f"fewer than {MIN_AT_RISK} patients at risk at {tau:g}"), np.full(len(time), np.nan)
    grid, g = censoring_survival(time, event | competing)
    g_before = before(grid, g, time)
    g_at = before(grid, g, np.nextafter(time, np.inf))
    n = len(time)
    agree, total = np.zeros(n), np.zeros(n)
    step = max(1, 2**21 // max(n, 1))
    members = np.flatnonzero(event & (time <= tau) & (g_at > 0))
    for i in range(0, len(members), step):
        rows = members[i : i + step]
        later = (time > time[rows, None]) | ((time == time[rows, None]) & ~event & ~competing)
        never = (time <= time[rows, None]) & competing
        weight = np.where(later, 1 / (g_before * g_at)[rows, None], 0.0)
        weight += np.where(never, 1 / (g_before[rows, None] * g_before), 0.0)
        kind = weight * (1 + np.sign(risk[rows, None] - risk)) / 2
        agree[rows] += kind.sum(axis=1)
        total[rows] += weight.sum(axis=1)
        agree += kind.sum(axis=0)
        total += weight.sum(axis=0)
    pairs = total.sum() / 2
    if pairs == 0:
        return blank(f"no comparable pairs by {tau:g}"), np.full(n, np.nan)
    c = float(agree.sum() / 2 / pairs)
    influence = (agree - c * total) / pairs
    if risk.min() == risk.max():
        return blank("all scores are equal") | {"estimate": 0.5}, influence
    se = float(np.sqrt((influence**2).sum()))
    lower, upper = np.clip([c - Z95 * se, c + Z95 * se], 0.0, 1.0)
    return {"estimate": c, "se": se, "lower": float(lower), "upper": float(upper), "reason": ""}, influence


def c_competing_difference(
    time: ArrayLike, event: ArrayLike, competing: ArrayLike, risk_a: ArrayLike, risk_b: ArrayLike, tau: float
) -> dict:
    """Paired difference of two `c_competing` -> dict(estimate, se, lower, upper, p, reason), two-sided."""
    (a, of_a), (b, of_b) = (c_competing(time, event, competing, risk, tau) for risk in (risk_a, risk_b))
    difference = a["estimate"] - b["estimate"]
    se = float(np.sqrt(((of_a - of_b) ** 2).sum()))
    reason = a["reason"] or b["reason"]
    if not reason and not se > 1e-12:
        reason = "the two scores rank every pair alike"
    if reason:
        return {"estimate": difference, "se": np.nan, "lower": np.nan, "upper": np.nan, "p": np.nan, "reason": reason}
    p = float(2 * norm.sf(abs(difference) / se))
    limits = {"lower": difference - Z95 * se, "upper": difference + Z95 * se}
    return {"estimate": difference, "se": se} | limits | {"p": p, "reason": ""}
