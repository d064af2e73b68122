import numpy as np
import oracle
import pytest

from recur.statistics.cutpoint import best_cutpoint, logrank_scores


def sample(n=120, effect=1.5, seed=0):
    rng = np.random.default_rng(seed)
    score = rng.normal(size=n)
    failure, censoring = rng.exponential(size=n) * np.exp(-effect * (score > 0.3)), rng.exponential(size=n) * 2
    return score, np.minimum(failure, censoring), failure <= censoring


@pytest.mark.reference
def test_equal_to_maxstat():
    predictions = oracle.table("rotterdam_gbsg", "predictions.csv")
    r = oracle.items("rotterdam_gbsg", "cutpoint")["external/maxstat/lp_four"]
    data, v = oracle.rows(predictions, r), r["values"]
    assert oracle.worst(logrank_scores(data["time"], data["status"]), v["scores"]) < 1e-9
    ours = best_cutpoint(data["lp_four"], data["time"], data["status"])
    # R gives the score at the cut, ours lies midway to the next
    scores = np.unique(data["lp_four"])
    next_scores = scores[np.searchsorted(scores, np.asarray(v["cuts"]) + 1e-12)]
    assert oracle.worst(ours["candidates"]["cutpoint"], (np.asarray(v["cuts"]) + next_scores) / 2) < 1e-12
    assert oracle.worst(ours["candidates"]["statistic"], v["stats"]) < 1e-9
    best = scores[scores < ours["cutpoint"]].max()
    assert oracle.worst([best, ours["statistic"]], [v["estimate"], v["statistic"]]) < 1e-9
    assert ours["p_lau92"] == pytest.approx(v["p_value"]["Lau92"], rel=1e-9)
    # R subtracts from 1 and so keeps only 1e-16 here
    assert ours["p_lau94"] == pytest.approx(v["p_value"]["Lau94"], abs=3e-16)


def test_statistic_has_the_permutation_variance():
    score, time, event = sample(40)
    ours = best_cutpoint(score, time, event)
    a = logrank_scores(time, event)
    assert a.sum() == pytest.approx(0, abs=1e-9)
    rng = np.random.default_rng(0)
    m = 15
    sums = [rng.permutation(a)[:m].sum() for _ in range(20000)]
    row = ours["candidates"].query("n_low == @m").iloc[0]
    low = a[np.argsort(score)[:m]].sum()
    assert row["statistic"] == pytest.approx(abs(low - np.mean(sums)) / np.std(sums), rel=0.03)


def test_finds_the_planted_cut_and_respects_the_limits():
    score, time, event = sample(400)
    ours = best_cutpoint(score, time, event)
    assert ours["cutpoint"] == pytest.approx(0.3, abs=0.1) and ours["cutpoint"] not in score
    assert ours["p_corrected"] < 0.001
    table = ours["candidates"]
    assert table["n_low"].between(40, 360).all() and (table[["events_low", "events_high"]] >= 10).all(axis=None)


def test_search_is_corrected():
    small = [best_cutpoint(*sample(100, 0, seed))["p_corrected"] < 0.05 for seed in range(60)]
    assert np.mean(small) < 0.15


def test_no_cut_is_blank_with_its_reason():
    score, time, event = sample(30)
    few_events = event & (np.cumsum(event) < 20)  # one less than 10 on each side need
    for arguments in ((score, time, few_events), (np.zeros(30), time, event), (score, time, 0 * event)):
        ours = best_cutpoint(*arguments)
        assert np.isnan(ours["cutpoint"]) and "no cut leaves" in ours["reason"] and len(ours["candidates"]) == 0
