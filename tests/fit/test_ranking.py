"""MRMR, forest importance, and the redundancy filter."""

import numpy as np
import pytest
from scipy.stats import rankdata
from sksurv.ensemble import RandomSurvivalForest
from sksurv.metrics import concordance_index_censored
from sksurv.tree import SurvivalTree
from sksurv.util import Surv

from recur.fit.ranking import Forest, forest_data, forest_importance, mrmr, without_redundant
from recur.statistics import _forest_loops
from recur.statistics.concordance import doubled_ranks, somers_d


@pytest.fixture(scope="module")
def planted():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(150, 12))
    x[:, 1] = x[:, 0] + 0.05 * rng.normal(size=150)  # a near copy of the first true feature
    time = rng.exponential(np.exp(-1.2 * x[:, 0] - 0.8 * x[:, 5]))
    event = rng.random(150) < 0.7
    return x, time, event


def test_somers_d_is_twice_the_concordance_less_one(planted):
    x, time, event = planted
    expected = [2 * concordance_index_censored(event, time, column)[0] - 1 for column in x.T]
    np.testing.assert_allclose(somers_d(x, time, event), expected, atol=1e-12)


def test_mrmr_takes_the_second_true_feature_before_a_copy_of_the_first(planted):
    x, time, event = planted
    chosen = [column for column, _ in mrmr(x, [f"f{i}" for i in range(12)], time, event, 3)]
    assert chosen[0] in (0, 1)
    assert chosen[1] == 5
    assert not {0, 1} <= set(chosen)


def test_mrmr_breaks_ties_by_name():
    x = np.tile(np.arange(20.0)[:, None], (1, 2))
    assert mrmr(x, ["b", "a"], np.arange(20.0) + 1, np.ones(20), 1)[0][0] == 1


def test_forest_importance_finds_the_planted_features_and_repeats_itself(planted):
    x, time, event = planted
    importance = forest_importance(x[:, 1:], time, event, Forest(60, 10, 1, 1))
    assert set(np.argsort(-importance)[:2]) == {0, 4}
    np.testing.assert_array_equal(importance, forest_importance(x[:, 1:], time, event, Forest(60, 10, 1, 1)))


def test_of_two_redundant_features_the_more_relevant_stays(planted):
    x, time, event = planted
    relevance = np.abs(somers_d(x, time, event))
    kept = without_redundant(doubled_ranks(x), relevance, 0.9)
    assert len({0, 1} & set(kept)) == 1
    assert np.argmax(relevance[:2]) in kept
    assert len(kept) == 11


def test_doubled_ranks_are_average_ranks_also_with_ties():
    x = np.random.default_rng(0).integers(0, 9, size=(40, 5)).astype(float)
    np.testing.assert_array_equal(doubled_ranks(x), 2 * rankdata(x, axis=0))


def test_somers_d_with_tied_times_and_values():
    rng = np.random.default_rng(1)
    x, time, event = rng.integers(0, 4, (80, 3)), rng.integers(1, 9, 80).astype(float), rng.random(80) < 0.6
    expected = [2 * concordance_index_censored(event, time, column.astype(float))[0] - 1 for column in x.T]
    np.testing.assert_allclose(somers_d(x, time, event), expected, atol=1e-12)


def grown(x, time, event, min_leaf):
    """One tree on all rows with all features tried: feature, threshold, child, risk of its nodes."""
    data, (n, p) = forest_data(x, time, event), x.shape
    feature, child = np.empty(2 * n, np.int64), np.empty((2 * n, 2), np.int64)
    threshold, risk = np.empty(2 * n), np.empty(2 * n)
    nodes = _forest_loops.grow_tree(*data, np.arange(n), p, min_leaf, np.arange(p), feature, threshold, child, risk)
    return feature[:nodes], threshold[:nodes], child[:nodes], risk[:nodes]


@pytest.mark.parametrize("min_leaf", [10, 15])
def test_a_tree_splits_where_scikit_survival_does(planted, min_leaf):
    x, time, event = planted
    # scikit-survival's precision; tied times; without the near copy, whose splits are as good
    x, time = np.delete(x, 1, axis=1).astype(np.float32).astype(float), time.round(1)
    feature, threshold, child, risk = grown(x, time, event, min_leaf)
    tree = SurvivalTree(min_samples_leaf=min_leaf, min_samples_split=2 * min_leaf, low_memory=True, random_state=0)
    tree = tree.fit(x, Surv.from_arrays(event, time)).tree_
    assert len(feature) == tree.node_count > 6
    pairs = [(0, 0)]
    while pairs:
        ours, theirs = pairs.pop()
        assert risk[ours] == pytest.approx(tree.value[theirs, 0, 0], rel=1e-12)
        assert max(feature[ours], -1) == max(tree.feature[theirs], -1)
        if feature[ours] >= 0:
            assert threshold[ours] == pytest.approx(tree.threshold[theirs], rel=1e-12)
            pairs += [(child[ours, 0], tree.children_left[theirs]), (child[ours, 1], tree.children_right[theirs])]


def test_importance_is_the_mean_loss_of_out_of_bag_concordance(planted):
    """A feature that alone orders the trees loses the whole of C - 0.5 when permuted; noise loses nothing."""
    x, time, event = planted
    noise = np.random.default_rng(5).normal(size=(150, 1))
    clear = np.column_stack([-time, np.zeros(150)])  # perfect, and a constant that no tree can use
    importance = forest_importance(clear, time, event, Forest(200, 15, 3, 2))
    assert importance[1] == 0
    # leaves of 15 tie some pairs: C of a tree on unseen rows stays below 1
    assert 0.35 < importance[0] < 0.5
    assert abs(forest_importance(noise, time, event, Forest(300, 15, 1, 2))[0]) < 0.03


def test_the_forest_ranks_as_the_plain_loop_over_scikit_survival(planted):
    """The plain way: trees of scikit-survival, each judged on its out-of-bag rows with each feature permuted."""
    x, time, event = planted
    rng, trees = np.random.default_rng(0), 60
    forest = RandomSurvivalForest(trees, min_samples_leaf=10, max_features="sqrt", low_memory=True, random_state=3)
    forest.fit(x, Surv.from_arrays(event, time))
    plain = np.zeros(x.shape[1])
    for tree in forest.estimators_:
        drawn = np.random.RandomState(tree.random_state).randint(0, len(x), len(x))
        out = np.setdiff1d(np.arange(len(x)), drawn)
        base = concordance_index_censored(event[out], time[out], tree.predict(x[out]))[0]
        for j in range(x.shape[1]):
            shuffled = x[out].copy()
            shuffled[:, j] = rng.permutation(shuffled[:, j])
            plain[j] += base - concordance_index_censored(event[out], time[out], tree.predict(shuffled))[0]
    fast = forest_importance(x, time, event, Forest(600, 10, 1, 3))
    np.testing.assert_allclose(fast, plain / trees, atol=0.03)
    assert set(np.argsort(-fast)[:3]) == set(np.argsort(-plain)[:3]) == {0, 1, 5}


def test_mrmr_equals_the_full_redundancy_matrix(planted):
    x, time, event = planted
    information = -0.5 * np.log1p(-np.clip(np.corrcoef(x, rowvar=False) ** 2, 0, 1 - 1e-12))
    relevance = -0.5 * np.log1p(-np.clip(somers_d(x, time, event) ** 2, 0, 1 - 1e-12))
    chosen: list[int] = []
    for column, score in mrmr(x, [f"f{i:02d}" for i in range(12)], time, event, 6):
        values = relevance - (information[chosen].mean(axis=0) if chosen else 0)
        assert column not in chosen
        assert score == pytest.approx(np.delete(values, chosen).max(), abs=1e-12) == pytest.approx(values[column])
        chosen.append(column)


def test_redundancy_in_blocks_equals_one_by_one():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 8)) @ rng.normal(size=(8, 200)) + 0.3 * rng.normal(size=(60, 200))
    ranks, relevance = doubled_ranks(x), rng.random(200)
    rho, kept = np.abs(np.corrcoef(ranks, rowvar=False)), []
    for column in np.argsort(-relevance):
        if all(rho[column, other] <= 0.8 for other in kept):
            kept.append(int(column))
    assert 10 < len(kept) < 150
    np.testing.assert_array_equal(without_redundant(ranks, relevance, 0.8), sorted(kept))
