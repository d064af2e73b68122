"""Features with pyradiomics' tails: learnt in training, frozen, and nobody's wild value decides."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recur.statistics import elastic_net, folds
from recur.statistics.scaling import KINDS, best_power, learn_scaling, scaling_of, yeo_johnson


def heavy(n: int = 120, seed: int = 0) -> np.ndarray:
    """Columns as pyradiomics has them: energies of 1e12, an emphasis with one patient far out, skewness, a ratio."""
    rng = np.random.default_rng(seed)
    emphasis = np.exp(rng.normal(0, 1, n))
    emphasis[rng.integers(n)] = 1e6
    columns = [1e12 * rng.lognormal(0, 1.5, n), emphasis, rng.normal(-1, 2, n), rng.beta(2, 5, n)]
    return np.column_stack(columns)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_frozen_gives_the_same_scores_and_units_do_not_matter(kind):
    x = heavy()
    learnt = learn_scaling(x, kind, 3.0)
    z = learnt.apply(x)
    assert np.isfinite(z).all() and np.abs(z).max() <= 3
    frozen = scaling_of([learnt.frozen(j) for j in range(x.shape[1])], 3.0)
    np.testing.assert_array_equal(frozen.apply(x), z)
    factor = np.array([1e-9, 1000.0, 7.0, 0.01])
    np.testing.assert_allclose(learn_scaling(x * factor, kind, 3.0).apply(x * factor), z, atol=1e-8)


def test_a_signature_frozen_before_there_were_transforms_has_none():
    z = scaling_of([{"name": "f", "weight": 1.0, "mean": 10.0, "sd": 2.0}], None).apply(np.array([[14.0]]))
    assert z == 2


def test_yeo_johnson_is_scipys_and_its_power_is_as_likely():
    x = heavy()
    learnt = learn_scaling(x, "yeo_johnson", None)
    z = (x - learnt.centre) / learnt.scale
    for j, power in enumerate(best_power(z)):
        np.testing.assert_allclose(yeo_johnson(z[:, [j]], np.array([power]))[:, 0], stats.yeojohnson(z[:, j], power))
        best = stats.yeojohnson_normmax(z[:, j])
        ours, theirs = (stats.yeojohnson_llf(value, z[:, j]) for value in (power, best))
        assert theirs - ours < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_features_that_hardly_vary_stay_finite(kind):
    x = np.zeros((40, 3))
    x[0], x[:5, 1], x[:, 2] = 1, 1e9, np.repeat([1.0, 2.0], 20)
    z = learn_scaling(x, kind, 3.0).apply(x)
    assert np.isfinite(z).all() and (z.std(axis=0) > 0).all()


# --- the deviance of folds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_a_patient_at_thousands_of_sd_gives_a_finite_deviance(seed):
    """Of 60 such data sets 31 had a deviance of minus infinity, which was taken for the smallest."""
    rng = np.random.default_rng(seed)
    n = 100
    t, e = rng.exponential(20, n), rng.random(n) < 0.8
    f = np.exp(rng.normal(0, 1, n))
    f[rng.integers(n)] = 1e6
    x = np.column_stack([f, rng.normal(size=(n, 3))])
    z = np.clip((x - x.mean(0)) / x.std(0), -3, 3)
    family = elastic_net.cox_family(t, e)
    penalty = elastic_net.Penalty(0.5, elastic_net.lambda_grid(z, family, 0.5, 30, 0.1))
    fold = folds.grouped_folds(np.arange(n), e, 5, np.random.default_rng(1))
    deviance, error = elastic_net.cross_validate(z, family, penalty, fold)
    assert np.isfinite(deviance).all() and np.isfinite(error).all()
    for rule in ("min", "1se"):
        assert 0 <= elastic_net.choose_lambda(deviance, error, rule) < 30
    with np.errstate(all="raise"):
        elastic_net.cross_validate(x, family, penalty, fold, lambda rows: learn_scaling(rows, "none", 3.0))


def test_a_deviance_that_is_not_finite_is_no_minimum():
    error = np.ones(4)
    assert elastic_net.choose_lambda(np.array([5.0, -np.inf, 3.0, np.nan]), error, "min") == 2
    assert elastic_net.choose_lambda(np.array([3.5, -np.inf, 3.0, np.nan]), error, "1se") == 0
    assert elastic_net.choose_lambda(np.full(4, np.nan), error, "min") == 0


@pytest.mark.parametrize("kind", KINDS)
def test_no_patient_decides_the_penalty(kind):
    """Without the wildest patient each fold's deviance is about the same; untransformed and unlimited it is another."""
    x = heavy(150, seed=3)
    rng = np.random.default_rng(4)
    t, e = rng.exponential(20, 150), rng.random(150) < 0.7
    learn = lambda rows: learn_scaling(rows, kind, 3.0)  # noqa: E731
    family = elastic_net.cox_family(t, e)
    penalty = elastic_net.Penalty(0.5, elastic_net.lambda_grid(learn(x).apply(x), family, 0.5, 20, 0.1))
    fold = folds.grouped_folds(np.arange(150), e, 5, np.random.default_rng(1))
    wildest = np.arange(150) != x[:, 1].argmax()
    whole, _ = elastic_net.cross_validate(x, family, penalty, fold, learn)
    others = elastic_net.cox_family(t[wildest], e[wildest])
    without, _ = elastic_net.cross_validate(x[wildest], others, penalty, fold[wildest], learn)
    assert np.ptp((whole - whole[0]) - (without - without[0])) < 0.1
    unlimited, _ = elastic_net.cross_validate(x, family, penalty, fold)
    assert np.ptp(unlimited) > 100 * np.ptp(whole) or np.ptp(unlimited) > 10


def moves_of_the_penalty(family: str, seed: int, scaling: tuple[str, float | None]) -> list[tuple[int, float]]:
    """How far the chosen penalty moves, in steps and in standard errors of the deviance that the move costs, when the
    wildest patient goes 1000 times further out, and when this patient is left out.
    """
    rng, n = np.random.default_rng(seed), 100
    t, e = rng.exponential(20, n), rng.random(n) < 0.8
    f, wild = np.exp(rng.normal(0, 1, n)), rng.integers(n)
    x = np.column_stack([f, rng.normal(size=(n, 3))])
    x[wild, 0] = 1e6
    t = t * np.exp(-x[:, 1])  # a feature that says something: of noise any patient moves the penalty
    fold = folds.grouped_folds(np.arange(n), e, 5, np.random.default_rng(1))
    early = (t < np.median(t)).astype(float)

    def likelihood(rows):
        if family == "cox":
            return elastic_net.cox_family(t[rows], e[rows])
        return elastic_net.logistic_family(early[rows])

    def learn(rows):
        return learn_scaling(rows, *scaling)

    everyone = np.arange(n)
    penalty = elastic_net.Penalty(0.5, elastic_net.lambda_grid(learn(x).apply(x), likelihood(everyone), 0.5, 30, 0.1))

    def validated(x, rows):
        return elastic_net.cross_validate(x[rows], likelihood(rows), penalty, fold[rows], learn)

    further = x.copy()
    further[wild, 0] = 1e9
    deviance, error = validated(x, everyone)
    best = elastic_net.choose_lambda(deviance, error, "min")
    others = validated(further, everyone), validated(x, np.delete(everyone, wild))
    places = [elastic_net.choose_lambda(*other, "min") for other in others]
    return [(abs(place - best), float((deviance[place] - deviance[best]) / error[best])) for place in places]


@pytest.mark.parametrize("family", ["cox", "logistic"])
def test_one_patient_does_not_choose_the_penalty(family):
    """Seeds as in test_a_patient_at_thousands_of_sd: a step, or on a flat curve a quarter of a standard error."""
    for seed in range(10):
        for steps, cost in moves_of_the_penalty(family, seed, ("signed_log", 3.0)):
            assert steps <= 1 or cost < 0.25
    raw = [moves_of_the_penalty(family, seed, ("none", None))[1] for seed in range(4)]
    assert max(cost for _, cost in raw) > 1  # of features as they are this patient does


# --- Efron's ties -------------------------------------------------------------------------------------------------


def tied(n: int = 60, seed: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    return (x - x.mean(0)) / x.std(0), rng.integers(1, 9, n).astype(float), rng.random(n) < 0.7


def efron_by_hand(beta: np.ndarray, x: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
    risk, total = np.exp(x @ beta), 0.0
    for now in np.unique(time[event]):
        dead = event & (time == now)
        for place in range(dead.sum()):
            total -= np.log(risk[time >= now].sum() - place / dead.sum() * risk[dead].sum())
        total += (x @ beta)[dead].sum()
    return total


def test_efrons_likelihood_and_path():
    from scipy.optimize import minimize

    x, time, event = tied()
    beta = np.array([0.3, -0.2, 0.5])
    ours = elastic_net.partial_loglik((x @ beta)[:, None], time, event, elastic_net.EFRON)[0]
    assert ours == pytest.approx(efron_by_hand(beta, x, time, event), abs=1e-10)
    family = elastic_net.cox_family(time, event, elastic_net.EFRON)
    lambdas = np.array([0.05, 0.02])
    path = elastic_net.elastic_net_path(x, family, elastic_net.Penalty(0.5, lambdas), 1e-9)
    for j, penalty in enumerate(lambdas):

        def objective(b, penalty=penalty):
            loss = -efron_by_hand(b[:3] - b[3:], x, time, event) / len(time)
            return loss + penalty * (0.5 * b.sum() + 0.25 * ((b[:3] - b[3:]) ** 2).sum())

        best = minimize(objective, np.full(6, 0.01), bounds=[(0, None)] * 6, options={"ftol": 1e-15, "gtol": 1e-10})
        np.testing.assert_allclose(path[:, j], best.x[:3] - best.x[3:], atol=2e-5)
    largest = elastic_net.lambda_grid(x, family, 0.5, 2, 0.9)[0]
    around = elastic_net.Penalty(0.5, largest * np.array([1.0001, 0.999]))
    just_above, just_below = elastic_net.elastic_net_path(x, family, around, 1e-9).T
    assert not just_above.any() and just_below.any()


def test_efron_equals_breslow_without_ties():
    x, time, event = tied()
    time = time + np.linspace(0, 0.5, len(time))
    fold = folds.grouped_folds(np.arange(len(time)), event, 5, np.random.default_rng(1))
    families = [elastic_net.cox_family(time, event, ties) for ties in (elastic_net.BRESLOW, elastic_net.EFRON)]
    grids = [elastic_net.lambda_grid(x, family, 0.5, 10, 0.1) for family in families]
    np.testing.assert_allclose(*grids, rtol=1e-12)
    penalty = elastic_net.Penalty(0.5, grids[0])
    found = [elastic_net.cross_validate(x, family, penalty, fold)[0] for family in families]
    np.testing.assert_allclose(*found, atol=1e-6)


def test_the_efron_path_satisfies_the_karush_kuhn_tucker_conditions():
    """Slopes by central differences of the likelihood as defined, of tied times and more features than matter."""
    x, time, event = tied(80)
    x = np.column_stack([x, np.random.default_rng(5).normal(size=(80, 5))])
    time = np.ceil(time * np.exp(-0.5 * x[:, 0]))
    family = elastic_net.cox_family(time, event, elastic_net.EFRON)
    lambdas = elastic_net.lambda_grid(x, family, 0.5, 8, 0.05)
    path = elastic_net.elastic_net_path(x, family, elastic_net.Penalty(0.5, lambdas), 1e-9)
    assert (path[:, -2] == 0).any() and (path[:, -2] != 0).any()
    for penalty, beta in zip(lambdas, path.T, strict=True):
        for j, step in enumerate(1e-4 * np.eye(8)):
            slope = efron_by_hand(beta + step, x, time, event) - efron_by_hand(beta - step, x, time, event)
            slope = slope / 2e-4 / len(time) - 0.5 * penalty * beta[j]
            if beta[j] == 0:
                assert abs(slope) <= 0.5 * penalty * (1 + 1e-6)
            else:
                assert slope == pytest.approx(0.5 * penalty * np.sign(beta[j]), abs=1e-8)
