"""Tests between groups of patients (scipy), and comparisons of two treatments weighted by the propensity score.

Every function gives a flat dict; a test that the data do not allow has NaN and its reason. Values are those of R's
chisq.test, fisher.test, t.test, wilcox.test (exact = FALSE), kruskal.test, aov, survey::svyglm and coxph(robust).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
import statsmodels.api as sm
from numpy.typing import ArrayLike
from scipy import stats
from scipy.stats.contingency import odds_ratio

from recur.statistics.estimate import Z95, checked_arrays

NEWTON_STEPS, HALVINGS = 100, 60
SMALL_EXPECTED = 5  # below it in more than a fifth of the cells chi-square is unreliable (Cochran 1954)


def contingency(table: ArrayLike) -> dict:
    """Chi-square of a table (r, c) of counts -> dict(chi2, df, p, chi2_yates, p_yates, p_fisher, odds_ratio, ...).

    Rows and columns without anybody are dropped. Yates' correction, Fisher's exact test and the conditional odds ratio
    with its exact limits (odds_ratio, or_lower, or_upper) exist for 2 x 2 only. `small` says that expected counts
    below 5 make chi-square unreliable.
    """
    table = np.asarray(table)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    names = ("chi2", "df", "p", "chi2_yates", "p_yates", "p_fisher", "odds_ratio", "or_lower", "or_upper")
    result = dict.fromkeys(names, np.nan) | {"small": False, "reason": ""}
    if min(table.shape, default=0) < 2:
        return result | {"reason": "only one group or one level"}
    plain = stats.chi2_contingency(table, correction=False)
    small = float((plain.expected_freq < SMALL_EXPECTED).mean()) > 0.2
    result |= {"chi2": float(plain.statistic), "df": int(plain.dof), "p": float(plain.pvalue), "small": small}
    if table.shape == (2, 2):
        yates = stats.chi2_contingency(table, correction=True)
        ratio = odds_ratio(table.astype(int), kind="conditional")
        limits = ratio.confidence_interval(0.95)
        result |= {"chi2_yates": float(yates.statistic), "p_yates": float(yates.pvalue)}
        result |= {"p_fisher": min(float(stats.fisher_exact(table).pvalue), 1.0)}
        result |= {"odds_ratio": float(ratio.statistic), "or_lower": float(limits.low), "or_upper": float(limits.high)}
    return result


def chi2_2x2(a: ArrayLike, b: ArrayLike, c: ArrayLike, d: ArrayLike, yates: bool = False) -> np.ndarray:
    """Chi-square of many 2 x 2 tables at once (rows a, b and c, d); NaN where a margin is empty."""
    a, b, c, d = (np.asarray(x, float) for x in (a, b, c, d))
    n = a + b + c + d
    excess = np.abs(a * d - b * c)
    excess = np.maximum(excess - n / 2, 0.0) if yates else excess
    with np.errstate(divide="ignore", invalid="ignore"):
        return n * excess**2 / ((a + b) * (c + d) * (a + c) * (b + d))


def t_from_summary(n: Sequence[int], mean: Sequence[float], sd: Sequence[float]) -> dict:
    """Student's (pooled) and Welch's t of two groups from n, mean and SD -> dict(t, df, p, t_welch, p_welch)."""
    first, second = zip(mean, sd, n, strict=True)
    pooled = stats.ttest_ind_from_stats(*first, *second)
    welch = stats.ttest_ind_from_stats(*first, *second, equal_var=False)
    return {
        "t": float(pooled.statistic),
        "df": n[0] + n[1] - 2,
        "p": float(pooled.pvalue),
        "t_welch": float(welch.statistic),
        "p_welch": float(welch.pvalue),
    }


def numbers(values: ArrayLike, group: ArrayLike) -> dict:
    """A numeric variable between the groups -> dict(test, statistic, df, p, p_parametric, reason).

    Two groups: Mann-Whitney (U of the first group in sorted order, normal with correction) and Welch's t; more:
    Kruskal-Wallis and one-way analysis of variance. Missing values are left out.
    """
    frame = pd.DataFrame({"value": np.asarray(values, float), "group": np.asarray(group)}).dropna()
    parts = [part["value"].to_numpy() for _, part in frame.groupby("group")]
    nothing = {"test": "", "statistic": np.nan, "df": np.nan, "p": np.nan, "p_parametric": np.nan}
    if len(parts) < 2 or frame["value"].nunique() < 2:
        return nothing | {"reason": "only one group" if len(parts) < 2 else "the variable has one value"}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scipy: a group of one has no variance; the p is NaN
        if len(parts) == 2:
            rank = stats.mannwhitneyu(*parts, method="asymptotic", use_continuity=True)
            second = stats.ttest_ind(*parts, equal_var=False).pvalue
            row = {"test": "Mann-Whitney", "statistic": float(rank.statistic), "df": np.nan}
        else:
            rank, second = stats.kruskal(*parts), stats.f_oneway(*parts).pvalue
            row = {"test": "Kruskal-Wallis", "statistic": float(rank.statistic), "df": len(parts) - 1}
    return nothing | row | {"p": float(rank.pvalue), "p_parametric": float(second), "reason": ""}


def propensity(treated: ArrayLike, covariates: pd.DataFrame) -> np.ndarray:
    """Probability (n,) of treatment by logistic regression on the covariates, linear terms, no selection.

    Raises ValueError where the covariates separate the treatments.
    """
    treated = np.asarray(treated, float)
    design = sm.add_constant(covariates.astype(float), has_constant="add")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            fitted = sm.GLM(treated, design, family=sm.families.Binomial()).fit(tol=1e-12)
        except (Warning, np.linalg.LinAlgError) as error:
            raise ValueError(f"the propensity score cannot be fitted: {error}") from error
    return np.asarray(fitted.fittedvalues)


def iptw(treated: ArrayLike, score: ArrayLike) -> np.ndarray:
    """Inverse-probability weights (n,) for the average effect in everybody: 1 / e treated, 1 / (1 - e) others."""
    treated, score = np.asarray(treated).astype(bool), np.asarray(score, float)
    return np.where(treated, 1 / score, 1 / (1 - score))


def effective_size(weight: ArrayLike) -> float:
    """Kish's effective number of patients."""
    weight = np.asarray(weight, float)
    return float(weight.sum() ** 2 / (weight**2).sum())


def balance(treated: ArrayLike, covariates: pd.DataFrame, weight: ArrayLike) -> pd.DataFrame:
    """Standardised mean difference of each covariate before and after weighting: covariate, smd, smd_weighted.

    Both are over the unweighted pooled SD (Austin, Stat Med 2009); below 0.1 is called balanced.
    """
    treated, weight = np.asarray(treated).astype(bool), np.asarray(weight, float)
    rows = []
    for name in covariates:
        x = covariates[name].to_numpy(float)
        sd = np.sqrt((x[treated].var(ddof=1) + x[~treated].var(ddof=1)) / 2)
        raw = x[treated].mean() - x[~treated].mean()
        after = np.average(x[treated], weights=weight[treated]) - np.average(x[~treated], weights=weight[~treated])
        rows.append({"covariate": name, "smd": raw / sd if sd else 0.0, "smd_weighted": after / sd if sd else 0.0})
    return pd.DataFrame(rows)


def weighted_difference(values: ArrayLike, treated: ArrayLike, weight: ArrayLike) -> dict:
    """Weighted mean (or risk, of a 0/1 outcome) of the treated less that of the others, with a robust error.

    dict(treated, others, difference, se, lower, upper, p): linearised, as survey::svyglm (t with n - 2 df for p and
    limits); the weights are taken as known.
    """
    y, t, w = np.asarray(values, float), np.asarray(treated, float), np.asarray(weight, float)
    fitted = sm.WLS(y, sm.add_constant(t), weights=w).fit(cov_type="HC0")
    n = len(y)
    se = float(fitted.bse[1] * np.sqrt(n / (n - 1)))
    others, difference = map(float, fitted.params)
    width = stats.t.ppf(0.975, n - 2) * se
    return {
        "treated": others + difference,
        "others": others,
        "difference": difference,
        "se": se,
        "lower": difference - width,
        "upper": difference + width,
        "p": float(2 * stats.t.sf(abs(difference) / se, n - 2)) if se else np.nan,
    }


def weighted_hazard_ratio(time: ArrayLike, event: ArrayLike, treated: ArrayLike, weight: ArrayLike) -> dict:
    """Weighted Cox model of treatment alone, Efron's ties, robust error (R coxph(weights, robust = TRUE)).

    dict(coef, se, hr, lower, upper, p, reason). By hand: lifelines' robust error takes tied deaths singly, 1e-3 off.
    """
    time, event, x = checked_arrays(time, event, treated)
    w = np.asarray(weight, float)
    nothing = dict.fromkeys(("coef", "se", "hr", "lower", "upper", "p"), np.nan)
    if min((event & (x == 1)).sum(), (event & (x == 0)).sum()) == 0:
        return nothing | {"reason": "a treatment without events"}
    coef = 0.0
    score, information, residual = _weighted_score(time, event, x, w, coef)
    for _ in range(NEWTON_STEPS):
        step = score / information
        if abs(step) < 1e-12 * max(1.0, abs(coef)):
            break
        # the likelihood is concave: a step far past its maximum makes the score larger, and is halved
        for _ in range(HALVINGS):
            tried = _weighted_score(time, event, x, w, coef + step)
            if np.isfinite(tried[0]) and tried[1] > 0 and abs(tried[0]) <= abs(score):
                break
            step /= 2
        coef += step
        score, information, residual = tried
    else:
        return nothing | {"reason": "the weighted Cox model has no finite estimate"}
    se = float(np.sqrt(((w * residual) ** 2).sum()) / information)
    limits = np.exp([coef - Z95 * se, coef + Z95 * se])
    row = {"coef": coef, "se": se, "hr": float(np.exp(coef)), "lower": float(limits[0]), "upper": float(limits[1])}
    return row | {"p": float(2 * stats.norm.sf(abs(coef) / se)), "reason": ""}


def _weighted_score(time, event, x, w, coef) -> tuple[float, float, np.ndarray]:
    """Score, information and score residuals (n,) of one covariate at `coef`, with case weights and Efron's ties."""
    score, information, residual = 0.0, 0.0, np.zeros(len(time))
    relative = np.exp(coef * x)
    for t in np.unique(time[event]):
        risk, dead = time >= t, event & (time == t)
        d = int(dead.sum())
        mean_weight = w[dead].sum() / d
        at_risk, dying = w * relative * risk, w * relative * dead
        for k in range(d):
            gone = k / d  # share of the tied deaths already removed
            left = at_risk - gone * dying
            total = left.sum()
            mean = (left * x).sum() / total
            information += mean_weight * ((left * x * x).sum() / total - mean**2)
            score += (w[dead] * (x[dead] - mean)).sum() / d
            residual += dead * (x - mean) / d - relative * (risk - gone * dead) * (x - mean) * mean_weight / total
    return score, information, residual
