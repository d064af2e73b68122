"""Tests between groups and weighted comparisons against R."""

import numpy as np
import oracle
import pandas as pd
import pytest

from recur.statistics import group_tests as g


@pytest.mark.reference
@pytest.mark.parametrize("item", ["female", "wfns"])
def test_chi_square_and_fisher_equal_r(item):
    r = oracle.items("asah", "tests")[f"contingency/{item}"]["values"]
    ours = g.contingency(r["table"])
    assert [ours["chi2"], ours["df"], ours["p"]] == pytest.approx([r["chisq"], r["df"], r["p"]], rel=1e-9)
    if item == "female":
        assert [ours["chi2_yates"], ours["p_yates"]] == pytest.approx([r["chisq_yates"], r["p_yates"]], rel=1e-9)
        assert ours["p_fisher"] == pytest.approx(r["fisher_p"], rel=1e-9)
        # R finds the conditional estimate and its limits by uniroot, to about 1e-4
        limits = [ours["odds_ratio"], ours["or_lower"], ours["or_upper"]]
        assert limits == pytest.approx([r["fisher_or_conditional"], *r["fisher_ci"]], rel=1e-4)
    else:
        assert np.isnan(ours["p_fisher"])


@pytest.mark.reference
@pytest.mark.parametrize("name", ["age", "s100b", "ndka", "wfns"])
def test_two_groups_equal_r(name):
    data, r = oracle.table("asah"), oracle.items("asah", "tests")[f"two_group/{name}"]["values"]
    ours = g.numbers(data[name], 1 - data["poor"])  # poor outcome first
    expected = [r["mwu_W"], r["mwu_p_correct"], r["welch_p"]]
    assert oracle.worst([ours["statistic"], ours["p"], ours["p_parametric"]], expected) < 1e-9
    n = [int(data["poor"].sum()), int((1 - data["poor"]).sum())]
    ours = g.t_from_summary(n, [r["mean1"], r["mean0"]], [r["sd1"], r["sd0"]])
    keys = ["student_t", "student_p", "welch_t", "welch_p"]
    assert oracle.worst([ours[k] for k in ("t", "p", "t_welch", "p_welch")], [r[k] for k in keys]) < 1e-9


@pytest.mark.reference
def test_several_groups_equal_r():
    data, r = oracle.table("asah"), oracle.items("asah", "tests")["k_group/s100b_by_wfns"]["values"]
    ours = g.numbers(data["s100b"], data["wfns"])
    assert [ours["statistic"], ours["df"]] == pytest.approx([r["kruskal_H"], r["kruskal_df"]], rel=1e-9)
    assert [ours["p"], ours["p_parametric"]] == pytest.approx([r["kruskal_p"], r["anova_p"]], rel=1e-9)


def test_many_tables_at_once_equal_one_by_one():
    for table in ([[17, 61], [10, 124]], [[3, 9], [8, 2]]):
        (a, b), (c, d) = table
        one = g.contingency(table)
        assert g.chi2_2x2(a, b, c, d) == pytest.approx(one["chi2"])
        assert g.chi2_2x2(a, b, c, d, yates=True) == pytest.approx(one["chi2_yates"])


@pytest.mark.reference
def test_weighted_comparisons_equal_survey_and_coxph():
    """ps <- fitted(glm(female ~ age + wfns, binomial)); svyglm(s100b ~ female), svyglm(poor ~ female) on svydesign(~1,
    weights = ~w); coxph(Surv(time, status) ~ trt, veteran, weights = w, robust = TRUE), w from age and karno."""
    data = oracle.table("asah")
    weight = g.iptw(data["female"], g.propensity(data["female"], data[["age", "wfns"]]))
    assert weight[:2] == pytest.approx([1.55795990865224, 1.69156816439709], rel=1e-9)
    for name, expected in (
        ("s100b", [0.227156068504691, 0.0250106411960973, 0.0519855146865464]),
        ("poor", [0.429023769846038, -0.120218564309657, 0.101100000424739]),
    ):
        ours = g.weighted_difference(data[name], data["female"], weight)
        assert [ours["others"], ours["difference"], ours["se"]] == pytest.approx(expected, rel=1e-6)
    data = oracle.table("veteran")
    treated = data["trt"] - 1
    weight = g.iptw(treated, g.propensity(treated, data[["age", "karno"]]))
    ours = g.weighted_hazard_ratio(data["time_days"], data["status"], treated, weight)
    expected = [-0.0141987874321622, 0.178241429583292, 0.936507338339543]
    assert [ours["coef"], ours["se"], ours["p"]] == pytest.approx(expected, rel=1e-6)


def test_weighting_removes_a_confounder():
    """Sicker patients are treated more often; the treatment itself does nothing."""
    rng = np.random.default_rng(2)
    sick = rng.normal(size=4000)
    treated = rng.random(4000) < 1 / (1 + np.exp(-sick))
    died = rng.random(4000) < 1 / (1 + np.exp(1 - sick))
    covariates = pd.DataFrame({"sick": sick})
    weight = g.iptw(treated, g.propensity(treated, covariates))
    raw = died[treated].mean() - died[~treated].mean()
    ours = g.weighted_difference(died, treated, weight)
    assert raw > 0.1 and abs(ours["difference"]) < 0.04
    smd = g.balance(treated, covariates, weight).iloc[0]
    assert smd["smd"] > 0.8 and abs(smd["smd_weighted"]) < 0.1
    assert g.effective_size(weight) < 4000 == g.effective_size(np.ones(4000))


def test_small_expected_counts_are_said():
    assert g.contingency([[3, 1], [2, 6]])["small"] and not g.contingency([[30, 10], [20, 60]])["small"]


def test_what_cannot_be_tested_says_why():
    assert g.contingency([[5, 0], [7, 0]])["reason"] == "only one group or one level"
    assert g.numbers([1, 2, np.nan], ["a", "a", "b"])["reason"] == "only one group"
    assert g.numbers([1, 1], ["a", "b"])["reason"] == "the variable has one value"
    assert "without events" in g.weighted_hazard_ratio([1, 2, 3], [1, 1, 0], [0, 0, 1], [1, 1, 1])["reason"]
    with pytest.raises(ValueError, match="propensity"):
        g.propensity([0, 0, 1, 1], pd.DataFrame({"x": [0.0, 1, 5, 6]}))
