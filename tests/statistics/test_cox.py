import numpy as np
import oracle
import pytest
from eliminate import eliminate_cox

from recur.statistics import cox, estimate
from recur.statistics.survival import survival_band

TIED = dict(
    x=np.array([0.0, 2.0, 1.0, 1.0, 3.0, 0.5, 2.5, 1.5]),
    time=np.array([4.0, 3.0, 1.0, 1.0, 2.0, 2.0, 3.0, 5.0]),
    event=np.array([1, 1, 1, 0, 1, 1, 0, 1]),
)


def exact(ours, r, tolerance=1e-9):
    assert oracle.worst(ours, r) < tolerance


def cases(group, ending=""):
    """Name, R's values, covariates, times and events of the stored analyses with Efron's ties whose name ends so."""
    found = []
    for dataset in ("veteran", "mgus2", "rotterdam_gbsg"):
        frame = oracle.table(dataset)
        if not (oracle.folder() / dataset / f"{group}.json").exists():
            continue
        for item in oracle.items(dataset, group).values():
            if item["id"].endswith("breslow") or not item["id"].endswith(ending):
                continue
            if "x" in item["input"] and "status" in item["input"]:
                data = oracle.rows(frame, item)
                columns = (item["input"][k] for k in ("x", "time", "status"))
                found.append((item["id"], item["values"], *(data[c].to_numpy(float) for c in columns)))
    assert found
    return found


@pytest.mark.reference
@pytest.mark.parametrize("group", ["cox_univariable", "cox_multivariable"])
def test_fit_equals_coxph(group):
    for _, r, x, time, event in cases(group):
        fit = cox.fit_cox(x, time, event)
        exact(fit["coef"], r["coef"])
        exact(fit["se"], r["se"])
        exact(fit["covariance"], r["vcov"])
        exact([fit["loglik"], fit["loglik_null"]], [r["loglik"], r["loglik_null"]])
        lr = cox.likelihood_ratio_test(fit["loglik"], fit["loglik_null"], x.shape[1])
        exact([lr["chi2"], lr["p"]], [r["lr_test"]["chisq"], r["lr_test"]["p"]])
        exact([fit["score_chi2"]], [r["score_test"]["chisq"]])
        wald = cox.wald_test(fit["coef"], fit["covariance"])
        exact([wald["chi2"], wald["p"]], [r["wald_test"]["chisq"], r["wald_test"]["p"]])


@pytest.mark.reference
def test_baseline_and_predicted_survival_equal_survfit():
    for _, r, x, time, event in cases("cox_predict"):
        fitted, centre = cox.fit_cox(x, time, event), x.mean(axis=0)
        coef = fitted["coef"]
        times, survival = cox.baseline_survival(x, time, event, coef)
        exact(times, r["baseline_cumhaz_x0"]["time"])
        exact(-np.log(survival), r["baseline_cumhaz_x0"]["cumhaz"])
        times, survival = cox.baseline_survival(x - centre, time, event, coef)
        predicted = cox.survival_at(times, survival, r["times"])[:, None] ** np.exp((x[:3] - centre) @ coef)
        exact(predicted, r["surv"])
        for k, t in enumerate(r["times"]):
            ours, se = cox.predicted_survival(x, time, event, fitted, x[:3], t)
            exact(ours, r["surv"][k])
            lower, upper = survival_band(ours, se)
            exact(lower, r["lower_log_log"][k])
            exact(upper, r["upper_log_log"][k])


@pytest.mark.reference
def test_schoenfeld_equals_cox_zph():
    for _, r, x, time, event in cases("cox_zph", "/zph/km"):
        test = cox.schoenfeld_test(x, time, event)
        exact(test["chi2"], [*r["chisq"], r["global_chisq"]])
        exact(test["p"], [*r["p"], r["global_p"]])


@pytest.mark.reference
def test_all_columns_at_once_equal_single_fits():
    r = oracle.items("hd_signal", "cox_univariable")["uni_all_features"]["values"]
    data = oracle.table("hd_signal").query("set == 'train'")
    x = data[r["feature"]].to_numpy()
    ours = cox.univariable_cox((x - x.mean(axis=0)) / x.std(axis=0, ddof=1), data["time"], data["status"])
    for column, name in (("coef", "coef"), ("se", "se"), ("p", "wald_p"), ("lr_chi2", "lr_chisq")):
        exact(ours[column], r[name])


@pytest.mark.reference
def test_backward_selection_equals_step():
    items = oracle.items("rotterdam_gbsg", "selection")
    for name, r, x, time, event in cases("selection", "step_aic_backward/efron"):
        kept, trace = eliminate_cox(x, items[name]["input"]["x"], time, event)
        assert kept == r["retained"]
        assert ["- " + d if d else "" for d in trace["dropped"]] == r["path"]["step"]
        exact(trace["aic"], r["path"]["aic"])
    for name, r, x, time, event in cases("selection", "backward_p0.05_refit/wald"):
        kept, trace = eliminate_cox(x, items[name]["input"]["x"], time, event, p_remove=0.05)
        assert kept == r["retained"]
        assert list(trace["dropped"])[1:] == r["removed"]
        exact(trace["p"][1:], r["p_at_removal"], 1e-8)


def test_efron_likelihood_by_the_definition():
    x, time, event = TIED.values()
    fit = cox.fit_cox(x, time, event)
    weight = np.exp(x * fit["coef"][0])
    loglik, hazard = 0.0, {}
    for t in np.unique(time[event == 1]):
        tied = (time == t) & (event == 1)
        parts = [weight[time >= t].sum() - k / tied.sum() * weight[tied].sum() for k in range(tied.sum())]
        loglik += (x[tied] * fit["coef"][0]).sum() - np.log(parts).sum()
        hazard[t] = (1 / np.array(parts)).sum()
    assert fit["loglik"] == pytest.approx(loglik, rel=1e-12)
    times, survival = cox.baseline_survival(x, time, event, fit["coef"])
    assert list(times) == list(hazard)
    assert survival == pytest.approx(np.exp(-np.cumsum(list(hazard.values()))), rel=1e-12)


def test_one_column_of_many_equals_its_own_fit():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, cox.COLUMNS_AT_ONCE + 2)) * 10.0 ** (np.arange(cox.COLUMNS_AT_ONCE + 2) % 7 - 3)
    x[:, 3] = 5
    time, event = np.ceil(rng.exponential(size=60) * 10), rng.random(60) < 0.6
    table = cox.univariable_cox(x, time, event)
    assert table["reason"][3] == "the column is constant" and np.isnan(table["coef"][3])
    for j in (0, 1, 2, 4, 5, 6, cox.COLUMNS_AT_ONCE - 1, cox.COLUMNS_AT_ONCE, cox.COLUMNS_AT_ONCE + 1):
        fit = cox.fit_cox(x[:, j], time, event)
        assert table["coef"][j] == pytest.approx(fit["coef"][0], rel=1e-9)
        assert table["se"][j] == pytest.approx(fit["se"][0], rel=1e-9)


def test_terms_of_several_columns_leave_together():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 4))
    time = rng.exponential(size=200) * np.exp(-1.2 * x[:, 3])
    kept, trace = eliminate_cox(x, ["a", "b", "c"], time, np.ones(200), terms=[[0, 1], [2], [3]])
    assert kept == ["c"]
    assert sorted(trace["dropped"]) == ["", "a", "b"]
    assert eliminate_cox(x[:, :0], [], time, np.ones(200))[0] == []


def test_no_covariates_is_a_legal_model():
    fit = cox.fit_cox(np.zeros((8, 0)), TIED["time"], TIED["event"])
    assert fit["coef"].shape == (0,) and fit["loglik"] == fit["loglik_null"]


@pytest.mark.parametrize(
    ("x", "event", "reason"),
    [
        (np.arange(8.0), np.zeros(8), "no events"),
        (np.ones(8), np.ones(8), "constant"),
        (-np.arange(8.0), np.ones(8), "infinite"),
        ((np.arange(8) < 3).astype(float), np.arange(8) < 3, "infinite"),
        (np.column_stack([np.arange(8.0) % 3, 2 * (np.arange(8) % 3)]), np.ones(8), "collinear"),
    ],
)
def test_not_estimable_says_why(x, event, reason):
    with pytest.raises(estimate.NotEstimable, match=reason):
        cox.fit_cox(x, np.arange(8.0), event)


def test_separated_column_is_blank_among_the_others():
    table = cox.univariable_cox(
        np.column_stack([(np.arange(8) < 3), np.arange(8) % 3]).astype(float), np.arange(8.0), np.arange(8) < 3
    )
    assert "infinite" in table["reason"][0] and np.isnan(table["p"][0])
    assert table["reason"][1] == "" and np.isfinite(table["p"][1])


def test_survival_is_right_continuous():
    assert list(cox.survival_at([1, 2], [0.8, 0.5], [0.5, 1, 1.5, 2, 9])) == [1.0, 0.8, 0.8, 0.5, 0.5]
