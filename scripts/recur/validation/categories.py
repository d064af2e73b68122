"""Ordinal and categorical endpoints (a grade, a macroscopic type): one-vs-rest AUC and tests over the levels.

The trend tests are written by hand, since scipy and statsmodels have neither with ties: Jonckheere-Terpstra with the
variance of Lehmann (Nonparametrics 1975, appendix), Cochran-Armitage (Armitage, Biometrics 1955). Checked against R's
cor.test (Kendall) and prop.trend.test.

Everywhere: `level` (n,) the place of the outcome among its levels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import chi2_contingency, false_discovery_control, kruskal, norm
from statsmodels.stats.proportion import proportion_confint

from recur.cohort.training import TRAIN
from recur.statistics.concordance import harrell_c
from recur.statistics.linear_predictor import linear_sum
from recur.statistics.roc import auc
from recur.validation.common import PERFORMANCE_COLUMNS, apparent

DRAWS = 500
TESTS = ["kind", "variable", "cohort", "test", "statistic", "df", "p", "q", "n", "reason"]
WHOLE = {  # metric -> method
    "auc_mean": "mean of the one-vs-rest AUCs",
    "c_ordinal": "C of the expected level over pairs of different levels",
}
LEVELS_DIFFER, TREND = "levels differ", "trend over the levels"


def category_performance(risks: pd.DataFrame, levels: list[str], ordered: bool, seed: int) -> pd.DataFrame:
    """One-vs-rest AUC of each level (DeLong), their mean and, of an ordinal endpoint, C over pairs of different levels
    (bootstrap over patients), and accuracy (Wilson), by model and cohort; cross-validated rows are means over repeats.
    """
    rows = []
    for (model, cohort), part in risks.groupby(["model", "cohort"], sort=False):
        repeats = [own for _, own in part.groupby("repeat")] if cohort == "train-nested_cv" else [part]
        for metric, method, value in judged(repeats, levels, ordered, seed):
            reason = value.get("reason")
            rows.append(
                {"model": model, "cohort": apparent(cohort), "metric": metric, "horizon_months": np.nan}
                | {key: value.get(key, np.nan) for key in ("estimate", "lower", "upper")}
                | {"n": part["patient_id"].nunique(), "events": value["events"]}
                | {"method": f"not estimated: {reason}" if reason else method}
            )
    return pd.DataFrame(rows, columns=PERFORMANCE_COLUMNS)


def judged(
    repeats: list[pd.DataFrame], levels: list[str], ordered: bool, seed: int
) -> list[tuple[str, str, dict[str, Any]]]:
    """(metric, method, estimate) of the predictions of a model; estimates of several repeats are means."""
    outcome = [own["level"].to_numpy(int) for own in repeats]
    risk = [own[[f"p_{name}" for name in levels]].to_numpy() for own in repeats]
    found = []
    for place, name in enumerate(levels):
        each = [auc(y == place, p[:, place]) for y, p in zip(outcome, risk, strict=True)]
        value = each[0] if len(each) == 1 else {"estimate": np.mean([v["estimate"] for v in each])}
        value["events"] = int((outcome[0] == place).sum())
        found.append((f"auc_{name}", "this level against the others" + ("; DeLong" if len(each) == 1 else ""), value))

    def means(rows: np.ndarray) -> dict[str, float]:
        each = [whole(y[rows], p[rows], ordered) for y, p in zip(outcome, risk, strict=True)]
        return pd.DataFrame(each).mean().to_dict()

    n, rng = min(map(len, outcome)), np.random.default_rng([seed, 11])
    aligned = len({tuple(sorted(own["patient_id"])) for own in repeats}) == 1
    drawn = pd.DataFrame([means(rng.integers(0, n, n)) for _ in range(DRAWS)]) if aligned else None
    for metric, estimate in means(np.arange(n)).items():
        low, high = drawn[metric].quantile([0.025, 0.975]) if drawn is not None else (np.nan, np.nan)
        value = {"estimate": estimate, "lower": low, "upper": high, "events": n}
        found.append((metric, WHOLE[metric] + "; bootstrap over patients", value))
    right = np.array([(p.argmax(axis=1) == y).mean() for y, p in zip(outcome, risk, strict=True)])
    low, high = proportion_confint(right.mean() * n, n, method="wilson")
    value = {"estimate": right.mean(), "lower": low, "upper": high, "events": n}
    return [*found, ("accuracy", "the likeliest level; Wilson", value)]


def whole(level: np.ndarray, risk: np.ndarray, ordered: bool) -> dict[str, float]:
    """Mean one-vs-rest AUC, and of an ordinal outcome the share of pairs of different levels in the right order."""
    each = [
        auc(level == j, risk[:, j])["estimate"] for j in range(risk.shape[1]) if 0 < (level == j).sum() < len(level)
    ]
    result = {"auc_mean": float(np.mean(each)) if each else np.nan}
    if ordered:
        expected = linear_sum(risk, np.arange(risk.shape[1]))
        # the higher level as the earlier event: Harrell's pairs are then those of different levels
        result["c_ordinal"] = harrell_c(-level.astype(float), np.ones(len(level)), expected)["estimate"]
    return result


def jonckheere(values: ArrayLike, level: ArrayLike) -> dict[str, Any]:
    """Jonckheere-Terpstra test of a trend of values over ordered levels, two-sided, normal, variance with ties."""
    values, level = np.asarray(values, float), np.asarray(level)
    groups = [values[level == k] for k in np.unique(level)]
    if len(groups) < 2:
        return {"statistic": np.nan, "p": np.nan, "reason": "only one level"}
    n, sizes = len(values), np.array([len(group) for group in groups])
    total = sum(
        (np.sign(later[:, None] - earlier) + 1).sum() / 2
        for i, earlier in enumerate(groups)
        for later in groups[i + 1 :]
    )
    ties = np.unique(values, return_counts=True)[1]

    def third(m: np.ndarray | int) -> float:
        return float(np.sum(np.asarray(m, float) * (np.asarray(m) - 1) * (2 * np.asarray(m) + 5)))

    def pairs(m: np.ndarray | int) -> float:
        return float(np.sum(np.asarray(m, float) * (np.asarray(m) - 1)))

    def triples(m: np.ndarray | int) -> float:
        return float(np.sum(np.asarray(m, float) * (np.asarray(m) - 1) * (np.asarray(m) - 2)))

    variance = (third(n) - third(sizes) - third(ties)) / 72
    variance += triples(sizes) * triples(ties) / (36 * triples(n)) if n > 2 else 0.0
    variance += pairs(sizes) * pairs(ties) / (8 * pairs(n))
    if not variance > 0:
        return {"statistic": np.nan, "p": np.nan, "reason": "all values are equal"}
    z = (total - (n**2 - (sizes**2).sum()) / 4) / np.sqrt(variance)
    return {"statistic": float(z), "p": float(2 * norm.sf(abs(z))), "reason": ""}


def cochran_armitage(positive: ArrayLike, level: ArrayLike) -> dict[str, Any]:
    """Cochran-Armitage test of a trend of a share over ordered levels scored 0, 1, ..., two-sided (z)."""
    positive, score = np.asarray(positive, float), np.asarray(level, float)
    share, n = positive.mean(), len(positive)
    spread = ((score - score.mean()) ** 2).sum()
    if not spread > 0 or not 0 < share < 1:
        return {"statistic": np.nan, "p": np.nan, "reason": "only one level or one value"}
    z = ((score - score.mean()) * positive).sum() / np.sqrt(share * (1 - share) * spread)
    return {"statistic": float(z), "p": float(2 * norm.sf(abs(z))), "reason": "", "n": n}


def kruskal_wallis(values: np.ndarray, level: np.ndarray) -> dict[str, Any]:
    groups = [values[level == k] for k in np.unique(level)]
    if len(groups) < 2 or np.ptp(values) == 0:
        return {"statistic": np.nan, "p": np.nan, "reason": "only one level or one value"}
    found = kruskal(*groups)
    return {"statistic": float(found.statistic), "df": len(groups) - 1, "p": float(found.pvalue), "reason": ""}


def chi_square(codes: np.ndarray, level: np.ndarray) -> dict[str, Any]:
    table = pd.crosstab(codes, level).to_numpy()
    if min(table.shape) < 2:
        return {"statistic": np.nan, "p": np.nan, "reason": "only one level or one value"}
    found = chi2_contingency(table, correction=False)
    few = (found.expected_freq < 5).mean() > 0.2
    reason = "expected counts below 5 in more than a fifth of the cells: unreliable" if few else ""
    return {"statistic": float(found.statistic), "df": int(found.dof), "p": float(found.pvalue), "reason": reason}


def level_tests(frame: pd.DataFrame, variables: dict[str, Any], features: pd.DataFrame, ordered: bool) -> pd.DataFrame:
    """Kruskal-Wallis or chi-square of every clinical variable over the levels and, of an ordinal endpoint, a trend
    (Jonckheere-Terpstra, Cochran-Armitage), in every cohort; of every feature (n, p; rows of frame) in training, with q
    (Benjamini-Hochberg over the features of a test). Missing cells leave a patient out of that test.
    """
    rows = []
    for cohort, at in frame.groupby("cohort", sort=False).indices.items():
        part = frame.iloc[at]
        for name, variable in variables.items():
            if variable["kind"] == "list":
                continue
            known = part[name].notna().to_numpy()
            values, level = part[name].to_numpy(float)[known], part["level"].to_numpy()[known]
            if not len(values):
                continue
            label, kind = variable["label"] or name, variable["kind"]
            of_numbers = kind in ("numeric", "ordinal")
            tests = {("Kruskal-Wallis", LEVELS_DIFFER): kruskal_wallis} if of_numbers else {
                ("chi-square", LEVELS_DIFFER): chi_square}  # fmt: skip
            if ordered and of_numbers:
                tests["Jonckheere-Terpstra", TREND] = jonckheere
            elif ordered and kind == "binary":
                tests["Cochran-Armitage", TREND] = cochran_armitage
            rows += [
                {"kind": "clinical", "variable": label, "cohort": cohort, "test": f"{test}: {what}"}
                | function(values, level)
                | {"n": len(values)}
                for (test, what), function in tests.items()
            ]
        if cohort != TRAIN:
            continue
        for name in features.columns:
            values, level = features[name].to_numpy(float)[at], part["level"].to_numpy()
            tests = {f"Kruskal-Wallis: {LEVELS_DIFFER}": kruskal_wallis}
            tests |= {f"Jonckheere-Terpstra: {TREND}": jonckheere} if ordered else {}
            base = {"kind": "feature", "variable": name, "cohort": cohort, "n": len(values)}
            rows += [base | {"test": test} | function(values, level) for test, function in tests.items()]
    table = pd.DataFrame(rows, columns=TESTS)
    for _, part in table[table["kind"] == "feature"].groupby("test"):
        known = part["p"].notna()
        table.loc[part.index[known], "q"] = false_discovery_control(part.loc[known, "p"])
    return table
