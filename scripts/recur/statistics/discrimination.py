"""Concordance and time-dependent ROC for a score where higher means worse.

Written by hand: scikit-survival takes the censoring survival G at t instead of just before it (2e-4 off in Uno's C, up
to 0.08 with other weights) and gives no standard errors. Conventions are R's survival::concordance,
riskRegression::Score and survcomp, against which everything here is checked except survcomp (formulas from its source).

Everywhere: `time` (n,), `event` (n,) 0/1 or bool, `score` (n,). Estimates are dict(estimate, se, lower, upper, reason);
where the data give no answer they are NaN with the reason, never an exception. Intervals are 95%.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm, spearmanr, t

from recur.statistics.cox import NotEstimable, fit_cox
from recur.statistics.survival import Z95, before, censoring_survival, censoring_weights, outcome

MIN_AT_RISK = 10  # a quantity at a horizon needs this many patients still followed there
BLOCK = 2**21  # pairs held in memory at once
MIN_VALID = 0.8  # share of bootstrap resamples that must give a value


def blank(reason: str) -> dict:
    """An estimate that the data do not allow."""
    return {"estimate": np.nan, "se": np.nan, "lower": np.nan, "upper": np.nan, "reason": reason}


def z_test(difference: float, se: float) -> dict:
    """A difference with its normal limits and two-sided test: dict(estimate, se, lower, upper, z, p, reason)."""
    z = difference / se
    limits = {"lower": difference - Z95 * se, "upper": difference + Z95 * se}
    return {"estimate": difference, "se": se} | limits | {"z": z, "p": float(2 * norm.sf(abs(z))), "reason": ""}


def interval(estimate: float, se: float) -> dict:
    """Estimate with its normal 95% interval, clipped to [0, 1]."""
    lower, upper = np.clip([estimate - Z95 * se, estimate + Z95 * se], 0.0, 1.0)
    return {"estimate": float(estimate), "se": float(se), "lower": float(lower), "upper": float(upper), "reason": ""}


def times_of(frame: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Times (n,) of the rows and the name of Harrell's C with them: without a time all are 0, and C is the AUC."""
    return (frame["time"].to_numpy(), "c_harrell") if "time" in frame else (np.zeros(len(frame)), "auc")


def binary_outcome(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray | None]:
    """Outcome 0/1 (n,) of the rows and their weights (n,): of those censored before the horizon 0 and 0.

    The weights are estimated on these rows; None where no outcome was censored (the frame has no column follow_up).
    """
    known = frame["event"].notna().to_numpy()
    event = frame["event"].fillna(0).to_numpy(int)
    return event, censoring_weights(frame["follow_up"], known) if "follow_up" in frame else None


def c_of(frame: pd.DataFrame, score: ArrayLike) -> dict:
    """harrell_c of the rows; without a time the AUC, of an outcome at a horizon weighted for censoring (auc_at)."""
    if "follow_up" in frame:
        return _auc_of_known(frame, score)
    return harrell_c(times_of(frame)[0], frame["event"].to_numpy(), score)


def c_difference_of(frame: pd.DataFrame, score_a: ArrayLike, score_b: ArrayLike) -> dict:
    """c_difference of the rows, as c_of."""
    if "follow_up" not in frame:
        return c_difference(times_of(frame)[0], frame["event"].to_numpy(), score_a, score_b)
    if reason := _one_class(frame):
        return blank(reason) | {"p": np.nan}
    return paired_difference(*(_auc_known(frame, score) for score in (score_a, score_b)))


def blocks(rows: np.ndarray, n: int) -> Iterator[np.ndarray]:
    """The rows in parts whose pairs with n others stay small enough for memory."""
    size = max(1, BLOCK // max(n, 1))
    for i in range(0, len(rows), size):
        yield rows[i : i + size]


def _pairs(time, event, score, weight) -> tuple[np.ndarray, np.ndarray]:
    """Per patient, over the comparable pairs it belongs to: weighted (concordant + ties / 2), and weight.

    The earlier member of a pair had the event and gives the weight; a censoring at the same time counts as later.
    """
    n = len(time)
    agree, total = np.zeros(n), np.zeros(n)
    for rows in blocks(np.flatnonzero(event & (weight > 0)), n):
        later = (time > time[rows, None]) | ((time == time[rows, None]) & ~event)
        kind = (later * (1.0 + np.sign(score[rows, None] - score))) / 2
        w = weight[rows]
        agree[rows] += w * kind.sum(axis=1)
        total[rows] += w * later.sum(axis=1)
        agree += w @ kind
        total += w @ later
    return agree, total


def _concordance(time, event, score, weight) -> tuple[float, np.ndarray]:
    """Concordance and its infinitesimal-jackknife influence (n,): the se is sqrt(sum(influence^2))."""
    agree, total = _pairs(time, event, score, weight)
    pairs = total.sum() / 2
    if pairs == 0:
        return np.nan, np.full(len(time), np.nan)
    c = agree.sum() / 2 / pairs
    return float(c), (agree - c * total) / pairs


def _no_concordance(event: np.ndarray, *scores: np.ndarray) -> str:
    if not event.any():
        return "no events"
    if any(s.size and s.min() == s.max() for s in scores):
        return "all scores are equal"
    return ""


def harrell_c(time: ArrayLike, event: ArrayLike, score: ArrayLike) -> dict:
    """Harrell's C, ties in score counted 1/2, with the infinitesimal-jackknife se (R survival::concordance).

    When all scores are equal the estimate is 0.5 with no interval.
    """
    time, event, score = outcome(time, event, score)
    return _c(time, event, score, np.ones(len(time)))


def uno_c(time: ArrayLike, event: ArrayLike, score: ArrayLike, tau: float) -> dict:
    """Uno's C: events up to and including `tau`, weighted by 1 / G(t-)^2 (R concordance, timewt "n/G2", ymax).

    G is estimated on these rows; its uncertainty is not in the se, as in R. Blank when fewer than 10 patients are
    followed to tau.
    """
    time, event, score = outcome(time, event, score)
    if (time >= tau).sum() < MIN_AT_RISK:
        return blank(f"fewer than {MIN_AT_RISK} patients at risk at {tau:g}")
    times, g = censoring_survival(time, event)
    g = before(times, g, time)
    weight = np.where((time <= tau) & (g > 0), 1 / np.maximum(g, 1e-12) ** 2, 0.0)
    return _c(time, event & (time <= tau), score, weight, event)


def _c(time, event, score, weight, any_event=None) -> dict:
    reason = _no_concordance(event, score)
    if reason == "all scores are equal":
        return blank(reason) | {"estimate": 0.5}
    if reason:
        return blank(reason)
    # an event after tau is no event of a pair, but at the same time as one it is still not "later"
    weight = np.where(event, weight, 0.0)
    c, influence = _concordance(time, event if any_event is None else any_event, score, weight)
    if np.isnan(c):
        return blank("no comparable pairs")
    return interval(c, np.sqrt((influence**2).sum()))


def c_difference(time: ArrayLike, event: ArrayLike, score_a: ArrayLike, score_b: ArrayLike) -> dict:
    """Harrell's C of `score_a` less that of `score_b` on the same patients, two-sided (R concordance(fit1, fit2)).

    dict(estimate, se, lower, upper, z, p, reason); variance sum((influence_a - influence_b)^2).
    """
    time, event, score_a, score_b = outcome(time, event, score_a, score_b)
    nothing = dict.fromkeys(("estimate", "se", "lower", "upper", "z", "p"), np.nan)
    if not event.any():
        return nothing | {"reason": "no events"}
    (a, influence_a), (b, influence_b) = (_concordance(time, event, s, np.ones(len(time))) for s in (score_a, score_b))
    se = float(np.sqrt(((influence_a - influence_b) ** 2).sum()))
    difference = a - b
    if np.isnan(difference):
        return nothing | {"reason": "no comparable pairs"}
    if se <= 1e-12:
        return nothing | {"estimate": difference, "se": 0.0, "reason": "the two scores rank every pair alike"}
    return z_test(difference, se)


def gamma_c(time: ArrayLike, event: ArrayLike, score: ArrayLike) -> dict:
    """C with pairs tied in score dropped and Noether's se: survcomp concordance.index(outx = TRUE, method = "noether").

    Equal follow-up times make no pair here, even an event and a censoring.
    """
    time, event, score = outcome(time, event, score)
    reason = _no_concordance(event, score)
    if reason:
        return blank(reason)
    n = len(time)
    concordant, discordant = np.zeros(n), np.zeros(n)
    for rows in blocks(np.flatnonzero(event), n):
        later = time > time[rows, None]
        higher, lower = later & (score[rows, None] > score), later & (score[rows, None] < score)
        for count, kind in ((concordant, higher), (discordant, lower)):
            count[rows] += kind.sum(axis=1)
            count += kind.sum(axis=0)
    if concordant.sum() + discordant.sum() == 0:
        return blank("no comparable pairs")
    pairs, triples = n * (n - 1.0), n * (n - 1.0) * max(n - 2.0, 1.0)
    pc, pd_ = concordant.sum() / pairs, discordant.sum() / pairs
    pcc = (concordant * (concordant - 1)).sum() / triples
    pdd = (discordant * (discordant - 1)).sum() / triples
    pcd = (concordant * discordant).sum() / triples
    variance = 4 / (pc + pd_) ** 4 * (pd_**2 * pcc - 2 * pc * pd_ * pcd + pc**2 * pdd)
    estimate = pc / (pc + pd_)
    if not variance > 0:
        return blank("the variance is not positive") | {"estimate": estimate}
    return interval(estimate, np.sqrt(variance / n))


def royston_d(time: ArrayLike, event: ArrayLike, score: ArrayLike) -> dict:
    """Royston & Sauerbrei's D (Stat Med 2004): log hazard ratio between halves at equal distance in the score.

    Coefficient of the scores' normal order statistics (Blom, averaged over ties) / sqrt(8 / pi) in a Cox model, as R
    survival::royston; with `r2`, the explained variation of D.
    """
    time, event, score = outcome(time, event, score)
    n = len(score)
    _, index, count = np.unique(score, return_inverse=True, return_counts=True)
    blom = norm.ppf((np.arange(1, n + 1) - 0.375) / (n + 0.25)) / np.sqrt(8 / np.pi)
    last = np.cumsum(count)
    total = np.concatenate([[0.0], np.cumsum(blom)])
    z = ((total[last] - total[last - count]) / count)[index]
    try:
        fitted = fit_cox(z, time, event)
    except NotEstimable as reason:
        return blank(str(reason)) | {"r2": np.nan}
    d, se = float(fitted["coef"][0]), float(fitted["se"][0])
    r2 = d**2 * np.pi / 8 / (np.pi**2 / 6 + d**2 * np.pi / 8)
    return {"estimate": d, "se": se, "lower": d - Z95 * se, "upper": d + Z95 * se, "reason": "", "r2": r2}


def legacy_c_difference(time: ArrayLike, event: ArrayLike, score_a: ArrayLike, score_b: ArrayLike) -> dict:
    """One-sided paired test that gamma_c of `score_a` exceeds that of `score_b`: survcomp cindex.comp.

    t = (Ca - Cb) / sqrt(se_a^2 + se_b^2 - 2 r se_a se_b) with r the Spearman correlation of the scores, n - 1 df.
    Only for comparison with papers that used it. dict(estimate, se, t, df, p, reason).
    """
    time, event, score_a, score_b = outcome(time, event, score_a, score_b)
    a, b = gamma_c(time, event, score_a), gamma_c(time, event, score_b)
    df = len(time) - 1
    nothing = {"estimate": a["estimate"] - b["estimate"], "se": np.nan, "t": np.nan, "df": df, "p": np.nan}
    if np.isnan(a["se"]) or np.isnan(b["se"]):
        return nothing | {"reason": a["reason"] or b["reason"]}
    r = float(spearmanr(score_a, score_b).statistic)
    variance = a["se"] ** 2 + b["se"] ** 2 - 2 * r * a["se"] * b["se"]
    if not variance > 1e-15:
        return nothing | {"reason": "the two scores are the same ranking"}
    se = float(np.sqrt(variance))
    statistic = nothing["estimate"] / se
    return nothing | {"se": se, "t": statistic, "p": float(t.sf(statistic, df)), "reason": ""}


def no_horizon(time: np.ndarray, event: np.ndarray, horizon: float, beyond: bool = False) -> str:
    """Why a quantity at `horizon` cannot be estimated on these rows ("" when it can).

    `beyond`: the quantity needs patients followed for longer than the horizon (AUC, Brier score), not only up to it.
    """
    at_risk = int((time >= horizon).sum())
    if at_risk < MIN_AT_RISK:
        return f"{at_risk} patients at risk at {horizon:g}, fewer than {MIN_AT_RISK}"
    if not (event & (time <= horizon)).any():
        return f"no events by {horizon:g}"
    if beyond and not (time > horizon).any():
        return f"nobody is followed beyond {horizon:g}"
    return ""


def ipcw_weights(
    time: np.ndarray, event: np.ndarray, horizon: float, competing: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights at `horizon` of cases, of those followed beyond it, and of those with the competing event by then.

    1 / G(T-) with an event by the horizon, 1 / G(horizon) beyond. The last two are the controls (Blanche et al. 2013).
    """
    other = np.zeros(len(time), bool) if competing is None else np.asarray(competing).astype(bool)
    times, g = censoring_survival(time, event | other)
    with np.errstate(divide="ignore"):
        own = 1 / before(times, g, time)
        beyond = np.where(time > horizon, 1 / before(times, g, np.nextafter(horizon, np.inf)), 0.0)
    return np.where(event & (time <= horizon), own, 0.0), beyond, np.where(other & (time <= horizon), own, 0.0)


def censoring_influence(
    time: np.ndarray, event: np.ndarray, horizon: float, case: np.ndarray, control: np.ndarray
) -> np.ndarray:
    """Influence (n,) on sum(case + control) of having estimated G in these weighted terms.

    `case` terms carry 1 / G(T-), `control` terms 1 / G(horizon). For patient k it is the integral of
    D(u) dM_k(u) / Y(u), with D(u) the terms whose G includes time u, M_k the Nelson-Aalen martingale of censoring and
    Y the number at risk, events of the same time included as in riskRegression (Blanche, Dartigues & Jacqmin-Gadda
    2013; the part that conservative = TRUE leaves out there).
    """
    times, index = np.unique(time, return_inverse=True)
    n_risk = np.bincount(index, minlength=len(times))[::-1].cumsum()[::-1]
    n_censor = np.bincount(index, weights=~event, minlength=len(times))
    # G(T-) includes the times before T, G(horizon) those up to it
    cases = np.bincount(index, weights=case, minlength=len(times))
    reach = (cases[::-1].cumsum()[::-1] - cases) + np.where(times <= horizon, control.sum(), 0.0)
    jump = reach / n_risk
    compensator = np.cumsum(jump * n_censor / n_risk)
    return np.where(event, 0.0, jump[index]) - compensator[index]


def auc_at(
    time: ArrayLike, event: ArrayLike, score: ArrayLike, horizon: float, competing: ArrayLike | None = None
) -> dict:
    """Cumulative/dynamic AUC at `horizon` by inverse probability of censoring weights (riskRegression::Score).

    Cases: event by the horizon, weight 1 / G(T-); controls: followed beyond it, or the competing event by then; ties
    1/2; weights from these rows. The se includes the estimation of the weights.
    """
    time, event, score = outcome(time, event, score)
    reason = no_horizon(time, event, horizon, beyond=True)
    if reason:
        return blank(reason)
    if score.min() == score.max():
        return blank("all scores are equal") | {"estimate": 0.5}
    auc, influence = _auc(time, event, score, horizon, competing)
    return interval(auc, np.sqrt(np.var(influence, ddof=1) * len(time)))


def _auc(time, event, score, horizon, competing) -> tuple[float, np.ndarray]:
    """AUC at the horizon and its influence (n,), the estimation of the weights included."""
    other = np.zeros(len(time), bool) if competing is None else np.asarray(competing).astype(bool)
    case, beyond, died = ipcw_weights(time, event, horizon, other)
    auc, at_case, at_control = weighted_auc(case, beyond + died, score)
    influence = at_case + at_control
    influence += censoring_influence(
        time, event | other, horizon, at_case + at_control * (died > 0), at_control * (beyond > 0)
    )
    return auc, influence


def weighted_auc(case: np.ndarray, control: np.ndarray, score: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Area of weighted cases and controls (0: not one of them), and its influence (n,) as cases and as controls."""
    is_case, is_control = case > 0, control > 0
    w, v = case[is_case], control[is_control]
    below = _share_below(score[is_control], v, score[is_case])
    above = 1 - _share_below(score[is_case], w, score[is_control])
    auc = float(w @ below / w.sum())
    at_case, at_control = np.zeros(len(score)), np.zeros(len(score))
    at_case[is_case] = w * (below - auc) / w.sum()
    at_control[is_control] = v * (above - auc) / v.sum()
    return auc, at_case, at_control


def _one_class(frame: pd.DataFrame) -> str:
    return "" if frame["event"].nunique() == 2 else "all patients whose outcome is known have the same"


def _auc_of_known(frame: pd.DataFrame, score: ArrayLike) -> dict:
    """auc_at the horizon of outcomes there; who is censored exactly at it counts as followed so far."""
    score = np.asarray(score, float)
    if reason := _one_class(frame):
        return blank(reason)
    if score.min() == score.max():
        return blank("all scores are equal") | {"estimate": 0.5}
    auc, influence = _auc_known(frame, score)
    return interval(auc, np.sqrt(np.var(influence, ddof=1) * len(frame)))


def _auc_known(frame: pd.DataFrame, score: ArrayLike) -> tuple[float, np.ndarray]:
    event, weight = binary_outcome(frame)
    auc, at_case, at_control = weighted_auc(weight * event, weight * (1 - event), np.asarray(score, float))
    terms, known = at_case + at_control, frame["event"].notna().to_numpy()
    # every weight is 1 / G just before the row's own follow-up
    return auc, terms + censoring_influence(
        frame["follow_up"].to_numpy(float), known, np.inf, terms, np.zeros(len(frame))
    )


def paired_difference(a: tuple[float, np.ndarray], b: tuple[float, np.ndarray]) -> dict:
    """Difference of two (estimate, influence (n,)) on the same patients, two-sided.

    As z_test; the contrasts of riskRegression::Score.
    """
    difference, influence = a[0] - b[0], a[1] - b[1]
    se = float(np.sqrt(np.var(influence, ddof=1) * len(influence)))
    if not se > 1e-12:
        return blank("the two scores are alike at every patient") | {"estimate": difference, "p": np.nan}
    return z_test(difference, se)


def auc_difference(
    time: ArrayLike,
    event: ArrayLike,
    score_a: ArrayLike,
    score_b: ArrayLike,
    horizon: float,
    competing: ArrayLike | None = None,
) -> dict:
    """`auc_at` of `score_a` less that of `score_b`; as paired_difference."""
    time, event, score_a, score_b = outcome(time, event, score_a, score_b)
    reason = no_horizon(time, event, horizon, beyond=True)
    if reason:
        return blank(reason) | {"p": np.nan}
    return paired_difference(*(_auc(time, event, score, horizon, competing) for score in (score_a, score_b)))


def _share_below(values: np.ndarray, weight: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Weighted share of `values` below each of `at`, ties one half."""
    order = np.argsort(values, kind="stable")
    cumulative = np.concatenate([[0.0], np.cumsum(weight[order])])
    low, high = (np.searchsorted(values[order], at, side=side) for side in ("left", "right"))
    return (cumulative[low] + cumulative[high]) / 2 / cumulative[-1]


def roc_at(
    time: ArrayLike, event: ArrayLike, score: ArrayLike, horizon: float, competing: ArrayLike | None = None
) -> pd.DataFrame:
    """ROC curve at `horizon`, weighted as auc_at, from (0, 0) to (1, 1): fpr, tpr, threshold (score >= threshold).

    The first threshold is NaN (nobody is positive). No rows when auc_at has no answer.
    """
    time, event, score = outcome(time, event, score)
    if no_horizon(time, event, horizon, beyond=True):
        return pd.DataFrame({"fpr": [], "tpr": [], "threshold": []}, dtype=float)
    case, beyond, died = ipcw_weights(time, event, horizon, competing)
    control = beyond + died
    levels, index = np.unique(score[(case > 0) | (control > 0)], return_inverse=True)
    used = (case > 0) | (control > 0)
    rates = []
    for weight in (control[used], case[used]):
        total = np.bincount(index, weights=weight, minlength=len(levels))[::-1].cumsum()
        rates.append(np.concatenate([[0.0], total / total[-1]]))
    thresholds = np.concatenate([[np.nan], levels[::-1]])
    return pd.DataFrame({"fpr": rates[0], "tpr": rates[1], "threshold": thresholds})


def bootstrap_interval(function: Callable[[np.ndarray], float], n: int, seed: int, resamples: int) -> dict:
    """95% percentile interval of `function(rows)` over resamples of n patients with replacement.

    Resample i is drawn from (seed, i) alone, so any subset can be repeated anywhere. dict(lower, upper, se, resamples
    used, reason): a resample with NaN or NotEstimable is left out; with fewer than 80% left the interval is NaN.
    """
    values = np.full(resamples, np.nan)
    for i in range(resamples):
        rows = np.random.default_rng([seed, i]).integers(0, n, n)
        try:
            values[i] = function(rows)
        except NotEstimable:
            continue
    valid = values[np.isfinite(values)]
    result = {"lower": np.nan, "upper": np.nan, "se": np.nan, "resamples": len(valid), "reason": ""}
    if len(valid) < max(2, MIN_VALID * resamples):
        return result | {"reason": f"only {len(valid)} of {resamples} resamples gave a value"}
    lower, upper = np.quantile(valid, [0.025, 0.975])
    return result | {"lower": float(lower), "upper": float(upper), "se": float(valid.std(ddof=1))}
