"""Ordinal and categorical endpoints (a grade, a macroscopic type): one-vs-rest AUC and tests over the levels.

Everywhere: `level` (n,) the place of the outcome among its levels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control
from statsmodels.stats.proportion import proportion_confint

from recur.statistics.concordance import harrell_c
from recur.statistics.level_tests import chi_square, cochran_armitage, jonckheere, kruskal_wallis
from recur.statistics.linear_predictor import linear_sum
from recur.statistics.roc import auc
from recur.validation.common import PERFORMANCE_COLUMNS
from recur.vocabulary import NESTED, TRAIN, apparent

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
        repeats = [own for _, own in part.groupby("repeat")] if cohort == NESTED else [part]
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
