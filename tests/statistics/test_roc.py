"""ROC curves against R's pROC, and their edges."""

import numpy as np
import oracle
import pytest

from recur.statistics import roc

OUTCOME = np.array([0, 0, 0, 0, 1, 1, 1, 0, 1])
SCORE = np.array([1.0, 2, 2, 4, 2, 4, 5, 3, 5])


@pytest.mark.reference
@pytest.mark.parametrize("score", ["s100b", "ndka", "wfns", "age"])
def test_area_and_curve_equal_proc(score):
    data, r = oracle.table("asah"), oracle.items("asah", "roc")[f"roc/{score}"]["values"]
    ours = roc.auc(data["poor"], data[score])
    names = ["auc", "se_delong", "lower95", "upper95", "z_vs_half", "p_vs_half"]
    keys = ["estimate", "se", "lower", "upper", "z", "p"]
    assert oracle.worst([ours[key] for key in keys], [r[name] for name in names]) < 1e-9
    on_logit = roc.auc(data["poor"], data[score], "logit")
    assert oracle.worst([on_logit["lower"], on_logit["upper"]], [r["lower95_logit"], r["upper95_logit"]]) < 1e-9
    points = roc.roc_points(data["poor"], data[score])
    assert oracle.worst(points["threshold"].iloc[1:-1], r["curve"]["threshold"][1:-1]) < 1e-12
    for name in ("sensitivity", "specificity"):
        assert np.allclose(points[name], r["curve"][name], atol=1e-12)
    best = roc.youden(data["poor"], data[score])
    assert best["threshold"] == pytest.approx(r["best_youden"]["threshold"][0])
    assert best["sensitivity"] == pytest.approx(r["best_youden"]["sensitivity"][0])
    assert best["youden"] == pytest.approx(r["best_youden"]["youden"][0] - 1)


@pytest.mark.reference
@pytest.mark.parametrize("pair", [("s100b", "ndka"), ("s100b", "wfns"), ("ndka", "wfns")])
def test_paired_comparison_equals_roc_test(pair):
    data, r = oracle.table("asah"), oracle.items("asah", "roc")["delong/{}_vs_{}".format(*pair)]["values"]
    ours = roc.auc_difference(data["poor"], *(data[name] for name in pair))
    keys, names = ["estimate", "z", "p", "lower", "upper"], ["difference", "z", "p", "ci_lower", "ci_upper"]
    assert oracle.worst([ours[key] for key in keys], [r[name] for name in names]) < 1e-9
    _, covariance = roc.delong(data["poor"], *(data[name] for name in pair))
    assert covariance[0, 1] == pytest.approx(r["cov_delong"], rel=1e-9)


@pytest.mark.reference
def test_sensitivity_at_a_specificity_equals_coords():
    """pROC 1.18: coords(r, x = c(.9, .8, .95, .5), input = "specificity", ret = "sensitivity")."""
    data, at = oracle.table("asah"), [0.9, 0.8, 0.95, 0.5]
    s100b = [0.390243902439024, 0.634146341463415, 0.341463414634146, 0.774390243902439]
    wfns = [0.517073170731707, 0.653658536585366, 0.395121951219512, 0.952537903757416]
    assert roc.sensitivity_at(data["poor"], data["s100b"], at) == pytest.approx(s100b, abs=1e-12)
    assert roc.sensitivity_at(data["poor"], data["wfns"], at) == pytest.approx(wfns, abs=1e-12)
    band = roc.roc_band(data["poor"], data["s100b"], [0.9, 0.5], seed=1, resamples=500)
    # ci.se(r, c(.9, .5), boot.n = 20000): 0.2195 to 0.6098 and 0.6049 to 0.9024; a step of the curve is 1/41
    assert band["lower"].to_numpy() == pytest.approx([0.2195, 0.6049], abs=0.03)
    assert band["upper"].to_numpy() == pytest.approx([0.6098, 0.9024], abs=0.03)


def test_area_is_the_share_of_pairs_in_order_with_ties_one_half():
    pairs = [(a > b) + (a == b) / 2 for a in SCORE[OUTCOME == 1] for b in SCORE[OUTCOME == 0]]
    assert roc.auc(OUTCOME, SCORE)["estimate"] == pytest.approx(np.mean(pairs))


def test_a_logit_interval_stays_inside():
    rng = np.random.default_rng(0)
    outcome = np.repeat([0, 1], 12)
    score = rng.normal(size=24) + 3 * outcome
    assert roc.auc(outcome, score)["upper"] == 1  # clipped
    assert roc.auc(outcome, score, "logit")["upper"] < 1


def test_operating_points_are_points_of_the_curve():
    points = roc.roc_points(OUTCOME, SCORE)
    assert points["threshold"].tolist() == [-np.inf, 1.5, 2.5, 3.5, 4.5, np.inf]
    assert points["sensitivity"].tolist() == [1, 1, 0.75, 0.75, 0.5, 0]
    assert points["specificity"].tolist() == pytest.approx([0, 0.2, 0.6, 0.8, 1, 1])
    for specificity, threshold in ((0.8, 3.5), (0.81, 4.5), (1.0, 4.5)):
        assert roc.at_specificity(OUTCOME, SCORE, specificity)["threshold"] == threshold
    assert roc.youden(OUTCOME, SCORE)["threshold"] == 3.5


def test_equal_youden_points_give_the_more_sensitive_one():
    assert roc.youden([0, 1, 0, 1], [1, 2, 3, 4])["threshold"] == 1.5


def test_what_cannot_be_estimated_says_why():
    assert roc.auc([1, 1], [1, 2])["reason"] == "all patients have the same outcome"
    assert "separates" in roc.auc([0, 0, 1, 1], [1, 2, 3, 4])["reason"]
    assert roc.auc([0, 0, 1, 1], [1, 2, 3, 4])["estimate"] == 1
    assert roc.auc([0, 0, 1], [1, 3, 2])["reason"] == "one patient in a class"
    assert "alike" in roc.auc_difference(OUTCOME, SCORE, SCORE * 2)["reason"]
    assert roc.youden([1, 1], [1, 2]) == roc.at_specificity([0], [1]) == {}
    assert roc.roc_points([1], [1]).empty and roc.roc_band([1], [1], [0.5], 1, 5).empty
    for outcome, score in (([0, 2], [1, 2]), ([0, np.nan], [1, 2]), ([0, 1], [1, np.nan]), ([0, 1], [1, 2, 3])):
        with pytest.raises(ValueError):
            roc.auc(outcome, score)
