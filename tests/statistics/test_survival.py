import numpy as np
import oracle
import pandas as pd
import pytest

from recur.statistics import ipcw, survival

TIME = np.array([1.0, 2, 2, 3, 4, 5, 5, 6])
EVENT = np.array([1, 1, 0, 0, 1, 1, 0, 0])


def exact(ours, r, tolerance=1e-9):
    assert oracle.worst(ours, r) < tolerance


@pytest.mark.reference
@pytest.mark.parametrize("dataset", ["veteran", "mgus2", "rotterdam_gbsg", "hd_signal"])
def test_curves_rates_and_quantiles_equal_survfit(dataset):
    frame = oracle.table(dataset)
    for item in oracle.items(dataset, "km").values():
        data, r = oracle.rows(frame, item), item["values"]
        time, event = (data[item["input"][k]].to_numpy() for k in ("time", "status"))
        curve = survival.kaplan_meier(time, event)
        if "curve" in r:
            c, ours = r["curve"], curve.iloc[1:]
            for column in ("time", "n_risk", "n_event", "n_censor"):
                exact(ours[column], c[column])
            exact(ours["survival"], c["surv"])
            exact(ours["se"], c["std_err_surv"])
            exact(ours["lower"], c["lower_log_log"])
            exact(ours["upper"], c["upper_log_log"])
        landmarks = r["landmarks_log_log"]
        rates = survival.survival_rates(time, event, landmarks["time"])
        for a, b in (("survival", "surv"), ("lower", "lower"), ("upper", "upper"), ("n_risk", "n_risk")):
            exact(rates[a], landmarks[b])
        quantiles, median = r["quantiles_log_log"], survival.median_survival(time, event)
        exact(list(median.values()), [quantiles[k][1] for k in ("time", "lower", "upper")])
        # the stored limits are those of the log band; test_r_values and test_other_data have log-log ones
        exact(survival.follow_up(time, event)["median"], r["followup_reverse_km"]["median"])


@pytest.mark.reference
@pytest.mark.parametrize("dataset", ["veteran", "mgus2", "rotterdam_gbsg"])
def test_logrank_equals_survdiff(dataset):
    frame = oracle.table(dataset)
    for item in oracle.items(dataset, "logrank").values():
        spec, r = item["input"], item["values"]
        columns = [spec["time"], spec["status"], spec["group"]]
        data = oracle.rows(frame, {"input": {**spec, "x": [spec["group"]]}})
        time, event, group = (data[c].to_numpy() for c in columns)
        if item["id"].endswith("rho=0"):
            ours = survival.logrank(time, event, group)
        elif "trend" in item["id"]:
            ours = survival.logrank_trend(time, event, group)
        else:
            continue
        exact([ours["chi2"], ours["p"]], [r["chisq"], r["p"]], 1e-8)


def test_curve_by_hand():
    curve = survival.kaplan_meier(TIME, EVENT)
    assert list(curve["time"]) == [0, 1, 2, 3, 4, 5, 6]
    assert list(curve["n_risk"]) == [8, 8, 7, 5, 4, 3, 1]
    s = [1, 7 / 8, 7 / 8 * 6 / 7, 0.75, 0.75 * 3 / 4, 0.75 * 3 / 4 * 2 / 3, 0.375]
    assert curve["survival"].to_numpy() == pytest.approx(s)
    assert curve["lower"][0] == 1 and curve["upper"][0] == 1
    greenwood = 1 / (8 * 7) + 1 / (7 * 6)
    assert curve["se"][2] == pytest.approx(0.75 * np.sqrt(greenwood))


def test_rate_after_the_last_time_is_blank_with_its_reason():
    rates = survival.survival_rates(TIME, EVENT, [0.5, 5, 7])
    assert list(rates["events"]) == [0, 4, 4]
    assert rates["survival"][:2].to_list() == pytest.approx([1, 0.375])
    assert np.isnan(rates["survival"][2]) and rates["reason"][2] == "follow-up ends at 6"


def test_median_at_exactly_one_half_is_the_midpoint():
    assert survival.median_survival([1, 2, 3, 4], [1, 1, 1, 1])["median"] == 2.5
    assert np.isnan(survival.median_survival([1, 2], [0, 0])["median"])


def test_logrank_two_groups_by_hand():
    time, event, group = [1, 2, 3, 4], [1, 1, 1, 0], ["a", "b", "a", "b"]
    expected_a = 2 / 4 + 1 / 3 + 1 / 2
    variance = 1 / 4 + 2 / 9 + 1 / 4
    ours = survival.logrank(time, event, group)
    assert ours["chi2"] == pytest.approx((2 - expected_a) ** 2 / variance)
    assert survival.logrank_trend(time, event, group)["chi2"] == pytest.approx(ours["chi2"])


@pytest.mark.parametrize(
    ("event", "group", "reason"), [([0, 0, 0], [1, 2, 1], "no events"), ([1, 1, 0], [1, 1, 1], "only one group")]
)
def test_logrank_without_an_answer_says_why(event, group, reason):
    ours = survival.logrank([1, 2, 3], event, group)
    assert np.isnan(ours["p"]) and reason in ours["reason"]


def test_events_leave_before_the_censorings_of_their_time():
    times, g = ipcw.censoring_survival([1, 1, 2], [1, 0, 1])
    assert list(times) == [1, 2] and list(g) == [0.5, 0.5]
    assert list(ipcw.before(times, g, [1, 2])) == [1.0, 0.5]


def test_tables_hold_plain_numbers():
    assert isinstance(survival.kaplan_meier(pd.Series(TIME), pd.Series(EVENT)), pd.DataFrame)
