"""Accuracy of tests against R and published values."""

import numpy as np
import oracle
import pytest

from recur.statistics import accuracy as a


def asah_rules():
    data = oracle.table("asah")
    return data["poor"], data["s100b"] > 0.205, data["ndka"] > 11.08


@pytest.mark.reference
@pytest.mark.parametrize("rule", ["s100b>0.205", "ndka>11.08", "wfns>=4"])
def test_proportions_and_ratios_equal_r(rule):
    data, r = oracle.table("asah"), oracle.items("asah", "agreement")[f"confusion/{rule}"]["values"]
    cells = a.two_by_two(data["poor"], data.eval(rule.replace(">", " > ").replace("> =", ">=")))
    assert cells == {name: r[name] for name in cells}
    rows = a.accuracy(**cells).set_index("metric")
    for metric in a.METRICS:
        ours = rows.loc[metric, ["x", "n", "estimate", "lower", "upper", "lower_exact", "upper_exact"]]
        keys = ["x", "n", "estimate", "lower95_wilson", "upper95_wilson", "lower95_exact", "upper95_exact"]
        assert oracle.worst(ours, [r[metric][key] for key in keys]) < 1e-9
    for metric in a.RATIOS:
        keys = [metric, f"{metric}_lower95", f"{metric}_upper95"]
        assert oracle.worst(rows.loc[metric, ["estimate", "lower", "upper"]], [r[key] for key in keys]) < 1e-9


@pytest.mark.parametrize(
    ("x", "n", "wilson", "exact"),
    [
        (55, 89, (51.4, 71.2), (50.9, 71.9)),
        (25, 26, (81.1, 99.3), (80.4, 99.9)),
        (80, 115, (60.6, 77.2), (60.3, 77.8)),
        (34, 38, (75.9, 95.8), (75.2, 97.1)),
        (14, 14, (78.5, 100), (76.8, 100)),
        (48, 52, (81.8, 97.0), (81.5, 97.9)),
    ],
)
def test_golden_intervals_of_published_counts(x, n, wilson, exact):
    row = a.proportion(x, n)
    assert (round(100 * row["lower"], 1), round(100 * row["upper"], 1)) == wilson
    assert (round(100 * row["lower_exact"], 1), round(100 * row["upper_exact"], 1)) == exact


@pytest.mark.reference
def test_mcnemar_equals_r():
    r = oracle.items("asah", "agreement")["mcnemar/accuracy_s100b_vs_ndka"]["values"]
    truth, first, second = asah_rules()
    row = a.compare_tests(truth, first, second).set_index("metric").loc["accuracy"]
    assert (row["only_b"], row["only_a"]) == (r["b"], r["c"])
    assert row["p"] == pytest.approx(r["p_corrected"], rel=1e-9)
    assert a.mcnemar_test(r["b"], r["c"])["statistic"] == pytest.approx(r["chisq_corrected"], rel=1e-9)


def test_mcnemar_is_exact_with_few_discordant_pairs():
    # binom.test(3, 15)$p.value in R
    ours = a.mcnemar_test(3, 12)
    assert ours["p"] == pytest.approx(0.03515625) and ours["method"] == "McNemar, exact"
    assert a.mcnemar_test(12, 12)["p"] == 1
    assert a.mcnemar_test(12, 13)["method"].endswith("corrected")
    assert a.mcnemar_test(0, 0)["p"] == 1


def test_paired_differences():
    """(1, 1, 7, 12): limits of Newcombe and Tango as in Fagerland, Lydersen & Laake, Stat Med 2014 (three digits), and
    to 1e-7 from R (uniroot on the score with the likelihood maximised numerically)."""
    rows = {
        (1, 1, 7, 12): ((-0.517232277, -0.026003032), (-0.506920226686, -0.025559124165)),
        (20, 12, 3, 40): ((0.0211758257, 0.2276713078), (0.018674845273, 0.217365041870)),
    }
    for cells, (tango, newcombe) in rows.items():
        for ours, expected in ((a.tango_difference(*cells), tango), (a.newcombe_difference(*cells), newcombe)):
            assert [ours["lower"], ours["upper"]] == pytest.approx(expected, abs=2e-7)
            assert ours["estimate"] == pytest.approx((cells[1] - cells[2]) / sum(cells))


def test_a_difference_between_equal_tests_has_limits_on_both_sides():
    z2 = 1.959963984540054**2
    ours = a.tango_difference(5, 0, 0, 5)
    assert [ours["lower"], ours["upper"]] == pytest.approx([-z2 / (10 + z2), z2 / (10 + z2)])
    assert a.tango_difference(0, 3, 0, 0)["upper"] == 1
    assert a.tango_difference(0, 0, 3, 0)["lower"] == -1


def test_two_tests_are_compared_on_the_diseased_and_on_the_others():
    truth = np.repeat([1, 1, 1, 0, 0], [10, 4, 1, 6, 3])
    first = np.repeat([1, 1, 0, 0, 1], [10, 4, 1, 6, 3])
    second = np.repeat([1, 0, 1, 0, 0], [10, 4, 1, 6, 3])
    rows = a.compare_tests(truth, first, second).set_index("metric")
    assert rows.loc["sensitivity", ["n", "only_a", "only_b"]].tolist() == [15, 4, 1]
    assert rows.loc["specificity", ["n", "only_a", "only_b"]].tolist() == [9, 0, 3]
    assert rows.loc["specificity", "p"] == pytest.approx(0.25)
    assert rows.loc["sensitivity", "difference"] == pytest.approx(0.2)


def test_lesions_of_one_patient_count_together():
    """Copies of each patient's only lesion add nothing: the interval stays that of the patients, not of the copies."""
    rng = np.random.default_rng(5)
    truth = rng.random(60) < 0.5
    test = truth ^ (rng.random(60) < 0.25)
    once = a.clustered_accuracy(np.arange(60), truth, test, seed=1, resamples=400).set_index("metric")
    copied = a.clustered_accuracy(*(np.repeat(x, 5) for x in (np.arange(60), truth, test)), seed=1, resamples=400)
    assert np.allclose(copied.set_index("metric")[["estimate", "lower", "upper"]], once[["estimate", "lower", "upper"]])
    wilson = a.accuracy(**a.two_by_two(truth, test)).set_index("metric")
    for metric in a.METRICS:
        assert once.loc[metric, "estimate"] == wilson.loc[metric, "estimate"]
        assert once.loc[metric, "lower"] == pytest.approx(wilson.loc[metric, "lower"], abs=0.05)


def test_what_has_no_denominator_is_empty():
    rows = a.accuracy(0, 0, 0, 5).set_index("metric")
    assert np.isnan(rows.loc["sensitivity", "estimate"]) and np.isnan(rows.loc["lr_positive", "estimate"])
    assert rows.loc["specificity", "estimate"] == 1
    with pytest.raises(ValueError):
        a.two_by_two([0, 1, 2], [0, 1, 1])
    with pytest.raises(ValueError):
        a.two_by_two([0, 1, 1], [0, 1, np.nan])
