"""Ranking features by survival: concordance, MRMR, and out-of-bag forest importance (methods.md 1.5)."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble._forest import _generate_sample_indices
from sksurv.ensemble import RandomSurvivalForest
from sksurv.util import Surv


def comparable_pairs(time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Boolean (n, n): row i had the event before column j's time (or at it, j being censored)."""
    later = (time[:, None] < time[None, :]) | ((time[:, None] == time[None, :]) & ~event[None, :])
    return later & event[:, None]


def doubled_ranks(features: np.ndarray) -> np.ndarray:
    """Ranks of every column (n, p), averaged over ties and doubled: integers, so comparisons and sums are exact."""
    n = len(features)
    order = np.argsort(features, axis=0, kind="stable")
    ordered = np.take_along_axis(features, order, axis=0)
    new = np.ones(features.shape, bool)
    new[1:] = ordered[1:] != ordered[:-1]
    position = np.arange(n)[:, None]
    first = np.maximum.accumulate(np.where(new, position, 0), axis=0)
    last = np.ones(features.shape, bool)
    last[:-1] = new[1:]
    last = np.minimum.accumulate(np.where(last, position, n)[::-1], axis=0)[::-1]
    ranks = np.empty(features.shape, np.int32)
    np.put_along_axis(ranks, order, (first + last + 2).astype(np.int32), axis=0)
    return ranks


def somers_d(features: np.ndarray, time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Somers' D = 2 (C - 0.5) of every column with the outcome, shape (p,); ties in a feature count half in C.

    Ranks serve as well as values. Rows with the event are compared with everyone who comes after them in time.
    """
    event = event.astype(bool)
    order = np.lexsort((~event, time))  # at equal times the event comes first
    values, time, event = np.ascontiguousarray(features[order]), time[order], event[order]
    balance, pairs = np.zeros(features.shape[1], np.int64), 0
    for row in np.flatnonzero(event):
        # an event at the same time is no pair; a censoring at the same time is one
        start = row + 1 + int((event[row + 1 :] & (time[row + 1 :] == time[row])).sum())
        later = values[start:]
        balance += (later < values[row]).sum(axis=0)
        balance -= (later > values[row]).sum(axis=0)
        pairs += len(later)
    return balance / max(pairs, 1)


def mrmr(
    features: np.ndarray, names: list[str], time: np.ndarray, event: np.ndarray, keep: int
) -> list[tuple[int, float]]:
    """Greedy minimum-redundancy-maximum-relevance: (column, score) of the first `keep`, best first.

    Relevance and redundancy are mutual informations -0.5 ln(1 - r^2), r being Somers' D with the outcome and
    Pearson's correlation between features (the scoring of R's mRMRe, difference criterion). Ties go by name.
    Written by hand: no kept Python package has a survival target.
    """
    by_name = np.argsort(np.argsort(names))
    relevance = mutual_information(somers_d(features, time, event))
    with np.errstate(invalid="ignore"):
        redundancy = mutual_information(np.nan_to_num(np.atleast_2d(np.corrcoef(features, rowvar=False))))
    chosen: list[tuple[int, float]] = []
    free, summed = np.ones(len(names), bool), np.zeros(len(names))
    for step in range(min(keep, len(names))):
        score = np.where(free, relevance - summed / max(step, 1), -np.inf)
        best = np.flatnonzero(score == score.max())
        pick = int(best[np.argmin(by_name[best])])
        chosen.append((pick, float(score[pick])))
        free[pick] = False
        summed += redundancy[pick]
    return chosen


def mutual_information(correlation: np.ndarray) -> np.ndarray:
    return -0.5 * np.log1p(-np.clip(correlation**2, 0, 1 - 1e-12))


def forest_importance(
    features: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    trees: int,
    min_samples_leaf: int,
    permutations: int,
    seed: int,
) -> np.ndarray:
    """Permutation importance (p,) of a random survival forest: mean loss of out-of-bag C over trees.

    Each tree is judged on its own out-of-bag rows, with only the features it uses permuted (Breiman; as R's
    randomForestSRC and ranger in aim). scikit-survival has no importance of its own and a loop over
    forest.score would take about 100 times longer.
    """
    event = event.astype(bool)
    x = np.ascontiguousarray(features, np.float32)
    forest = RandomSurvivalForest(
        trees, min_samples_leaf=min_samples_leaf, max_features="sqrt", low_memory=True, random_state=seed, n_jobs=1
    ).fit(x, Surv.from_arrays(event, time))
    pairs, rng = comparable_pairs(time, event), np.random.default_rng(seed)
    rows, total = np.arange(len(x)), np.zeros(x.shape[1])
    for tree in forest.estimators_:
        out = np.setdiff1d(rows, _generate_sample_indices(tree.random_state, len(x), len(x), None))
        usable = pairs[np.ix_(out, out)]
        if not usable.any():
            continue
        risk, held = tree.tree_.value[:, 0, 0], x[out]
        base = tree_concordance(usable, risk[tree.tree_.apply(held)])
        for feature in np.unique(tree.tree_.feature[tree.tree_.feature >= 0]):
            shuffled = held.copy()
            for _ in range(permutations):
                shuffled[:, feature] = rng.permutation(held[:, feature])
                total[feature] += (base - tree_concordance(usable, risk[tree.tree_.apply(shuffled)])) / permutations
    return total / trees


def tree_concordance(usable: np.ndarray, score: np.ndarray) -> float:
    """C of scores (n,) over the usable pairs (n, n), ties one half."""
    first, second = np.nonzero(usable)
    return float(0.5 + 0.5 * np.sign(score[first] - score[second]).mean())


def without_redundant(ranks: np.ndarray, relevance: np.ndarray, limit: float) -> np.ndarray:
    """Columns (sorted indices) left when, going from the most relevant down, |Spearman rho| > limit is dropped.

    ranks (n, p): see doubled_ranks.
    """
    n = len(ranks)
    # sums of products of integers are exact in single precision up to 2^24, in double beyond
    centred = (ranks - (n + 1)).astype(np.float32 if n**3 < 3 * 2**24 else np.float64)
    norm = np.sqrt((centred**2).sum(axis=0))
    product = centred.T @ centred
    close = np.abs(product, out=product) > np.outer(limit * norm, norm)
    dropped, kept = np.zeros(len(relevance), bool), []
    for column in np.argsort(-relevance, kind="stable"):
        if not dropped[column]:
            kept.append(int(column))
            dropped |= close[column]
    return np.array(sorted(kept), int)
