"""MRMR, forest importance, and the redundancy filter."""

import numpy as np
import pytest
from scipy.stats import rankdata
from sksurv.metrics import concordance_index_censored

from recur.ranking import doubled_ranks, forest_importance, mrmr, somers_d, without_redundant


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
    importance = forest_importance(x[:, 1:], time, event, 60, 10, 1, seed=1)
    assert set(np.argsort(-importance)[:2]) == {0, 4}
    np.testing.assert_array_equal(importance, forest_importance(x[:, 1:], time, event, 60, 10, 1, seed=1))


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
