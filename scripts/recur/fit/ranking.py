"""Ranking features by the outcome: concordance, MRMR, and out-of-bag forest importance (docs/methods.md 5.3).

Of a binary outcome all times are equal, and Harrell's C is the AUC; with `weight` (n,), for censoring before the
outcome's horizon, it is the weighted AUC (Uno et al., JASA 2007; Blanche et al., Stat Med 2013).
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from recur.cohort.training import Training
from recur.compiled import compiling
from recur.statistics.concordance import c_index, doubled_ranks, somers_d
from recur.statistics.outcome import BINARY

BLOCK = 64  # features compared at once with those already kept

RANKING_COLUMNS = ["feature", "mrmr_rank", "mrmr_score", "forest_rank", "forest_importance", "selected"]


@cache
def _loops() -> ModuleType:
    with compiling():
        from recur.statistics import _forest_loops
    return _forest_loops


def mrmr(
    features: np.ndarray,
    names: list[str],
    time: np.ndarray,
    event: np.ndarray,
    keep: int,
    weight: np.ndarray | None = None,
) -> list[tuple[int, float]]:
    """Greedy minimum-redundancy-maximum-relevance: (column, score) of the first `keep`, best first.

    Relevance and redundancy are mutual informations -0.5 ln(1 - r^2), r being Somers' D with the outcome and
    Pearson's correlation between features (the scoring of R's mRMRe, difference criterion). Ties go by name. Weights
    concern the outcome only: how features correlate is seen in everybody.
    Written by hand: no kept Python package has a survival target.
    """
    by_name = np.argsort(np.argsort(names))
    relevance = mutual_information(somers_d(features, time, event, weight))
    centred = np.asarray(features, float).T - np.mean(features, axis=0)[:, None]
    norm = np.sqrt((centred**2).sum(axis=1))
    centred /= np.where(norm > 0, norm, 1.0)[:, None]  # a constant feature correlates with nothing
    chosen: list[tuple[int, float]] = []
    free = np.ones(len(names), bool)
    summed = np.zeros(len(names))
    for step in range(min(keep, len(names))):
        score = np.where(free, relevance - summed / max(step, 1), -np.inf)
        best = np.flatnonzero(score == score.max())
        pick = int(best[np.argmin(by_name[best])])
        chosen.append((pick, float(score[pick])))
        free[pick] = False
        summed += mutual_information(centred @ centred[pick])
    return chosen


def mutual_information(correlation: np.ndarray) -> np.ndarray:
    return -0.5 * np.log1p(-np.clip(correlation**2, 0, 1 - 1e-12))


class Forest(NamedTuple):
    """How a forest is grown and judged."""

    trees: int
    min_samples_leaf: int
    permutations: int  # of each feature in each tree's out-of-bag rows
    seed: int


def forest_importance(features: np.ndarray, time: np.ndarray, event: np.ndarray, forest: Forest) -> np.ndarray:
    """Permutation importance (p,) of a random survival forest: mean loss of out-of-bag C over trees.

    Each tree is judged on its own out-of-bag rows, with only the features it uses permuted (Breiman; as R's
    randomForestSRC and ranger in aim). Trees are scikit-survival's: bootstrap, log-rank splits with sqrt(p) features
    tried, risk the cumulative hazard summed over the event times (Ishwaran et al., Ann Appl Stat 2008). Grown in
    statistics._forest_loops, which updates the log-rank statistic from split to split where scikit-survival sums it
    anew, and takes a tenth of its time; scikit-survival has no importance of its own.
    """
    data = forest_data(features, time, event)
    seeds = np.random.default_rng(forest.seed).integers(0, 2**32, forest.trees, dtype=np.uint32)
    total = np.zeros(features.shape[1])
    tried = max(1, int(np.sqrt(features.shape[1])))
    _loops().add_importance(*data, tried, forest.min_samples_leaf, forest.permutations, seeds, total)
    return total / forest.trees


def classifier_importance(
    features: np.ndarray, event: np.ndarray, forest: Forest, weight: np.ndarray | None = None
) -> np.ndarray:
    """Permutation importance (p,) of a random forest for a binary outcome: mean loss of out-of-bag AUC over trees.

    scikit-learn's RandomForestClassifier; its own permutation_importance shuffles rows that the trees have seen, so the
    loss is measured here on each tree's out-of-bag rows, with only the features it uses shuffled, as for survival.
    Weights multiply the rows' own in every split (sample_weight) and in the AUC; a row that weighs 0 grows no tree.
    """
    event = np.asarray(event).astype(int)
    x = features.astype(np.float32)
    grown = RandomForestClassifier(
        forest.trees,
        min_samples_leaf=forest.min_samples_leaf,
        max_features="sqrt",
        random_state=forest.seed,
        n_jobs=1,
    ).fit(x, event, sample_weight=weight)
    rng = np.random.default_rng([forest.seed, 9])
    if weight is None:
        weighted_rows = np.arange(len(event))
    else:
        weighted_rows = np.flatnonzero(weight)
    total = np.zeros(features.shape[1])
    for tree, drawn in zip(grown.estimators_, grown.estimators_samples_, strict=True):
        out = np.setdiff1d(weighted_rows, drawn)
        if not 0 < event[out].sum() < len(out):
            continue
        out_of_bag = x[out]
        no_time = np.zeros(len(out))
        out_weight = None if weight is None else weight[out]
        used = np.unique(tree.tree_.feature[tree.tree_.feature >= 0])
        before = c_index(tree.predict_proba(out_of_bag)[:, 1], no_time, event[out], out_weight)
        for column in used:
            shuffled = out_of_bag.copy()
            for _ in range(forest.permutations):
                shuffled[:, column] = rng.permutation(out_of_bag[:, column])
                after = c_index(tree.predict_proba(shuffled)[:, 1], no_time, event[out], out_weight)
                total[column] += (before - after) / forest.permutations
    return total / forest.trees


def forest_data(features: np.ndarray, time: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, ...]:
    """What the trees of statistics._forest_loops read: x (p, n) in time order, order, moment, event, remaining; see
    grow_tree.
    """
    event = np.asarray(event).astype(bool)
    rows = np.lexsort((~event, time))
    x = np.ascontiguousarray(features[rows].T, dtype=float)
    time = np.asarray(time)[rows]
    event = event[rows]
    times, moment = np.unique(time, return_inverse=True)
    remaining = np.bincount(moment, weights=event, minlength=len(times)) > 0
    order = np.argsort(x, axis=1, kind="stable").astype(np.int32)
    return x, order, moment.astype(np.int64), event, remaining[::-1].cumsum()[::-1].astype(float)


def without_redundant(ranks: np.ndarray, relevance: np.ndarray, limit: float) -> np.ndarray:
    """Columns (sorted indices) left when, going from the most relevant down, |Spearman rho| > limit is dropped.

    ranks (n, p): see doubled_ranks.
    """
    n = len(ranks)
    order = np.argsort(-relevance, kind="stable")
    # sums of products of integers are exact in single precision up to 2^24, in double beyond
    centred = (ranks - (n + 1)).T[order].astype(np.float32 if n**3 < 3 * 2**24 else np.float64)
    bound = np.sqrt((centred**2).sum(axis=1))
    kept = np.empty_like(centred)
    norms = limit * bound
    chosen = np.empty(len(order), int)
    count = 0
    for low in range(0, len(order), BLOCK):
        part = centred[low : low + BLOCK]
        part_bound = bound[low : low + BLOCK]
        close = np.abs(part @ kept[:count].T) > part_bound[:, None] * norms[chosen[:count]]
        free = ~close.any(axis=1)
        close = np.abs(part @ part.T) > part_bound[:, None] * norms[low : low + BLOCK]
        for i in range(len(part)):
            if free[i]:
                kept[count] = part[i]
                chosen[count] = low + i
                count += 1
                free &= ~close[i]
    return np.sort(order[chosen[:count]])


def rank(train: Training, columns: np.ndarray, settings: dict[str, Any], seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Columns that go on to the elastic net, and the table of both rankings (empty when ranking is off)."""
    ranking = settings["ranking"]
    rho = settings["redundancy"]["spearman"]
    weight = train.outcome.weight
    if rho is not None and len(columns):
        ranks = doubled_ranks(train.features[:, columns])
        relevance = np.abs(somers_d(ranks, train.outcome.pair_times, train.outcome.event, weight))
        columns = columns[without_redundant(ranks, relevance, rho)]
    if ranking["kind"] == "none" or not len(columns):
        return columns, pd.DataFrame(columns=RANKING_COLUMNS)
    names = [train.names[column] for column in columns]
    keep = ranking["keep"]
    x = train.features[:, columns]
    chosen = mrmr(x, names, train.outcome.pair_times, train.outcome.event, keep, weight)
    forest = Forest(ranking["trees"], ranking["min_samples_leaf"], ranking["permutations"], seed)
    if train.outcome.kind == BINARY:
        importance = classifier_importance(standardised(x)[0], train.outcome.event, forest, weight)
    else:
        importance = forest_importance(standardised(x)[0], train.outcome.pair_times, train.outcome.event, forest)
    order = sorted(range(len(names)), key=lambda i: (-importance[i], names[i]))
    table = pd.DataFrame({"feature": names, "forest_importance": importance})
    table["forest_rank"] = pd.Series(np.argsort(order) + 1, index=table.index)
    table["mrmr_rank"] = pd.array([pd.NA] * len(names), dtype="Int64")
    table["mrmr_score"] = np.nan
    for place, (column, score) in enumerate(chosen):
        table.loc[column, ["mrmr_rank", "mrmr_score"]] = place + 1, score
    by_mrmr = table["mrmr_rank"].notna()
    by_forest = table["forest_rank"] <= keep
    table["selected"] = np.select([by_mrmr & by_forest, by_mrmr, by_forest], ["both", "mrmr", "forest"], "none")
    return columns[(by_mrmr | by_forest).to_numpy()], table[RANKING_COLUMNS]


def standardised(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns with mean 0 and SD 1 (1/n, as glmnet), and the means and SDs."""
    mean = x.mean(axis=0)
    sd = x.std(axis=0)
    return (x - mean) / sd, mean, sd
