"""How a model travels, on simulated cohorts whose answers are known."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from recur.cohort.cells import clinical_cells
from recur.cohort.surveillance import visit_intervals
from recur.predict.apply import apply_models
from recur.report.transport import transport_table as report_table
from recur.statistics import meta_analysis
from recur.statistics.concordance import harrell_c
from recur.tables import StudyError
from recur.validation import transport

MONTHS = np.arange(1, 1201) / 10
COEF = {"a": 0.8, "b": 0.4}


def model(rate=1 / 40, coef=COEF, death=None):
    """A frozen model with exponential hazard `rate` and, optionally, a competing hazard `death` without covariates."""
    terms = [
        {"name": k, "term": k, "kind": "numeric", "level": None, "transform": "none", "coef": c, "mean": 0.0}
        for k, c in coef.items()
    ]
    known = {
        "kind": "linear",
        "transform": "none",
        "ordinal": False,
        "start": [0.0],
        "low": -9,
        "high": 9,
        "model": None,
    }
    imputer = {"predictors": list(coef), "sweeps": 1, "terms": [known | {"term": k, "columns": [k]} for k in coef]}
    fixed = {"horizons_months": [24, 60], "cutpoint": None, "lp_range": [-9, 9], "follow_up_months": 120.0}
    frozen = {"terms": terms, "imputer": imputer, "baseline": baseline(rate)} | fixed
    return frozen | ({} if death is None else {"competing": {"terms": [], "baseline": baseline(death)}})


def baseline(rate):
    return {"time": MONTHS.tolist(), "survival": np.exp(-rate * MONTHS).tolist()}


def cohort(name, n, seed, shift=0.0, coef=COEF, rate=1 / 40, death=0.0):
    """Rows whose true hazard is rate exp(coef); covariates have mean (shift, 0) and SD 1."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 2)) + [shift, 0]
    event_time = rng.exponential(1 / rate, n) * np.exp(-(z @ [coef["a"], coef["b"]]))
    other = rng.exponential(1 / death, n) if death else np.full(n, np.inf)
    limit = rng.uniform(30, 118, n)
    end = np.minimum(other, limit)
    frame = {"patient_id": [f"{name}{i}" for i in range(n)], "centre": name[-1], "cohort": name}
    frame |= {"time": np.minimum(event_time, end), "event": (event_time <= end).astype(int), "a": z[:, 0], "b": z[:, 1]}
    if death:
        frame["competing"] = ((other < limit) & (event_time > end)).astype(int)
    return pd.DataFrame(frame)


def table(frames, frozen):
    frame = pd.concat(frames, ignore_index=True)
    risks = apply_models({"clinical_pre": frozen}, None, frame, np.zeros((len(frame), 0)), [])
    design, outside = transport.model_inputs(frozen, None, frame, np.zeros((len(frame), 0)), [])
    arguments = {"clinical_pre": frozen}, {"clinical_pre": design}, {"clinical_pre": outside}
    return transport.transport_table(risks, *arguments, seed=1)


def value(found, cohort, topic, quantity, update="", column="estimate"):
    rows = found[(found["cohort"] == cohort) & (found["topic"] == topic) & (found["quantity"] == quantity)]
    return rows.loc[rows["update"] == update, column].iloc[0]


@pytest.fixture(scope="module")
def travelled():
    """Training, a cohort like it, and one of another case-mix where the truth is the same."""
    frames = [cohort("train", 400, 1), cohort("external-B", 500, 2), cohort("external-C", 500, 3, shift=1.0)]
    return frames, table(frames, model())


def test_model_based_c_of_two_risk_groups_by_hand():
    lp = np.repeat([0.0, np.log(3)], [30, 10])
    ties, mixed = 30 * 29 / 2 + 10 * 9 / 2, 300
    expected = (0.5 * ties + 0.75 * mixed) / (40 * 39 / 2)
    assert transport.model_based_c(lp) == pytest.approx(expected, rel=1e-12)


def test_model_based_c_is_what_a_true_model_reaches_without_censoring():
    rng = np.random.default_rng(0)
    lp = rng.normal(0, 1, 4000)
    time = rng.exponential(np.exp(-lp))
    assert transport.model_based_c(lp) == pytest.approx(harrell_c(time, np.ones(4000), lp)["estimate"], abs=0.012)


def test_case_mix_and_membership_tell_the_shifted_cohort(travelled):
    _, found = travelled
    assert value(found, "external-B", "case_mix", "lp_mean") == pytest.approx(0, abs=0.12)
    assert value(found, "external-C", "case_mix", "lp_mean") == pytest.approx(0.8, abs=0.12)
    assert value(found, "external-C", "case_mix", "lp_sd") == pytest.approx(np.hypot(0.8, 0.4), abs=0.08)
    alike, shifted = (value(found, c, "membership", "c_membership") for c in ("external-B", "external-C"))
    assert alike == pytest.approx(0.5, abs=0.06)
    assert shifted == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.04)  # two normals one SD apart
    assert value(found, "external-C", "overlap", "share_of_patients_outside") > value(
        found, "external-B", "overlap", "share_of_patients_outside"
    )
    assert value(found, "train", "overlap", "share_of_patients_outside") == 0


def test_concordance_is_cut_at_the_time_every_cohort_reaches(travelled):
    frames, found = travelled
    rows = found[(found["topic"] == "truncated") & (found["quantity"] == "c_harrell")].set_index("cohort")
    tau = rows["horizon_months"].iloc[0]
    assert rows["horizon_months"].nunique() == 1 and tau <= 60
    assert min((frame["time"] >= tau).sum() for frame in frames) >= 10
    part = frames[2]
    lp = part["a"] * 0.8 + part["b"] * 0.4
    cut = np.minimum(part["time"], tau), part["event"] * (part["time"] <= tau)
    assert rows.loc["external-C", "estimate"] == pytest.approx(harrell_c(*cut, lp)["estimate"])


WRONG = {  # what is wrong with the model in a cohort whose truth is COEF and 1 / 40, and the step that mends it
    "none": model(),
    "baseline": model(rate=1 / 90),
    "baseline_slope": model(coef={"a": 1.6, "b": 0.8}),
    "refit": model(coef={"a": 0.4, "b": -0.6}),
}


@pytest.mark.parametrize("step", WRONG)
def test_the_ladder_mends_what_is_wrong_and_the_closed_test_finds_it(step):
    found = table([cohort("train", 100, 5), cohort("external-B", 900, 6)], WRONG[step])
    shown = ("oe_ratio", "calibration_slope", "c_harrell")
    ladder = {s: {q: value(found, "external-B", "updating", q, s) for q in shown} for s in transport.LADDER}
    choice = found[found["quantity"] == "closed_test_choice"]["update"].iloc[0]
    assert choice == step
    for later in transport.LADDER[max(1, transport.LADDER.index(step)) :]:
        assert ladder[later]["oe_ratio"] == pytest.approx(1, abs=0.05)
    if step == "baseline":
        assert ladder["none"]["oe_ratio"] > 1.3
    if step == "baseline_slope":
        assert ladder["none"]["calibration_slope"] == pytest.approx(0.5, abs=0.1)
        assert ladder["baseline_slope"]["calibration_slope"] == pytest.approx(1, abs=0.05)
    if step == "refit":
        assert ladder["refit"]["c_harrell"] > ladder["baseline_slope"]["c_harrell"] + 0.05
    labels = found[found["quantity"] == "oe_ratio"].set_index("update")["method"]
    assert labels["none"] == "as frozen" and labels["refit"].startswith("updated")


def test_the_size_of_a_validation_gives_the_widths_it_promises(travelled):
    frames, found = travelled
    needed = int(value(found, "external-B", "sample_size", "n_for_slope"))
    frame = frames[1]
    risks = apply_models({"clinical_pre": model()}, None, frame, np.zeros((len(frame), 0)), [])
    rng = np.random.default_rng(9)
    widths, events = [], []
    for _ in range(30):
        time, event, lp = transport.simulated(risks, model(), needed, rng)
        slope = transport.calibration_slope(time, event, lp)
        widths.append(slope["upper"] - slope["lower"])
        events.append(event.sum())
    assert np.mean(widths) == pytest.approx(0.4, rel=0.05)
    assert np.mean(events) == pytest.approx(value(found, "external-B", "sample_size", "events_for_slope"), rel=0.05)
    assert value(found, "external-B", "sample_size", "n_for_c") < needed
    # the simulated follow-up is the cohort's own
    time, event, _ = transport.simulated(risks, model(), 5000, rng)
    assert event.mean() == pytest.approx(frame["event"].mean(), abs=0.06)


# metafor: rma(yi, sei, method = "REML", test = "adhoc"), predict(); estimate, se, tau2, ci, pi
METAFOR = [
    ([0.5, 0.9, 0.2, 1.1], [0.1, 0.15, 0.2, 0.12],
     [0.6889544637, 0.1982322297, 0.1321203417, 0.0580910366, 1.3198178908, -0.6286565534, 2.0065654808]),
    ([0.7, 0.75, 0.72], [0.1, 0.15, 0.2],
     [0.7160655738, 0.0768221280, 0.0, 0.3855266352, 1.0466045123, 0.3855266352, 1.0466045123]),
    ([0.2, 0.9], [0.1, 0.1],
     [0.55, 0.35, 0.235, -3.8971716577, 4.9971716577, -7.0472055190, 8.1472055190]),
]  # fmt: skip


@pytest.mark.parametrize(("y", "se", "expected"), METAFOR)
def test_random_effects_equal_metafor(y, se, expected):
    ours = meta_analysis.random_effects(y, se)
    keys = ("estimate", "se", "tau2", "lower", "upper", "predict_lower", "predict_upper")
    assert [ours[key] for key in keys] == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_centres_are_pooled_with_an_interval_for_a_new_one(travelled):
    _, found = travelled
    low, high = (value(found, "external", "centres", "c_harrell_prediction", column=c) for c in ("lower", "upper"))
    pooled = value(found, "external", "centres", "c_harrell_pooled")
    each = [value(found, c, "centres", "c_harrell") for c in ("external-B", "external-C")]
    assert low < min(each) <= pooled <= max(each) < high
    assert value(found, "external", "centres", "oe_ratio_pooled") == pytest.approx(1, abs=0.1)


def test_competing_death_stays_the_models_while_recurrence_is_updated():
    frames = [cohort("train", 100, 5, death=1 / 60), cohort("external-B", 900, 6, death=1 / 60)]
    found = table(frames, model(rate=1 / 90, death=1 / 60))
    assert value(found, "external-B", "updating", "oe_ratio", "none") > 1.2
    assert value(found, "external-B", "updating", "oe_ratio", "baseline") == pytest.approx(1, abs=0.06)
    assert np.isfinite(value(found, "external-B", "truncated", "c_competing"))
    assert value(found, "external-B", "sample_size", "n_for_c") > 50


def test_a_model_without_terms_and_a_study_without_held_out_patients_are_legal():
    frozen = model(coef={})
    found = table([cohort("train", 60, 1), cohort("external-B", 60, 2)], frozen)
    assert value(found, "external-B", "case_mix", "c_model_based") == 0.5
    assert not (found["topic"] == "updating").any()
    assert set(table([cohort("train", 60, 1)], model())["cohort"]) == {"train"}


def test_the_report_shows_every_topic(travelled):
    _, found = travelled
    shown = report_table(found, "clinical_pre")
    assert {"Case-mix", "Updating (cross-fitted; not a validation)", "Between centres"} <= set(shown["topic"])
    assert {"train", "external-B", "external-C", "external"} <= set(shown.columns)


class TestVisits:
    def study(self, tmp_path, dates):
        pd.DataFrame({"id": ["p1", "p2"], "op": ["2015-01-01", "2015-01-01"]}).to_csv(tmp_path / "c.csv", index=False)
        pd.DataFrame(dates, columns=["who", "day"]).to_csv(tmp_path / "v.csv", index=False)
        visits = {"table": str(tmp_path / "v.csv"), "id": "who", "date": "day"}
        clinical = {"table": str(tmp_path / "c.csv"), "id": "id", "centre": None, "missing_values": ["-9"]}
        clinical |= {"variables": {}, "dates": {"t0": "op"}, "visits": visits}
        return {"clinical": clinical, "endpoints": {}, "split": {"kind": "none"}, "analyses": {}}

    def test_intervals_by_patient_and_by_centre(self, tmp_path):
        days = pd.date_range("2015-01-01", periods=9, freq="91D")[1:]  # a visit every 91 days for two years
        dates = [("p1", f"{day:%Y-%m-%d}") for day in days]
        dates += [("p2", "2015-07-01"), ("p2", "2016-07-01"), ("p2", "2017-07-01"), ("p9", "2015-02-01")]
        study = self.study(tmp_path, dates)
        found = visit_intervals(study, clinical_cells(study)[0], pd.Series(["p1", "p2"])).set_index("patient_id")
        assert found.loc["p1", "interval_first_2_years"] == pytest.approx(91 / 30.4375)
        assert np.isnan(found.loc["p1", "interval_later"]) and found.loc["p1", "visits"] == 8
        assert found.loc["p2", "longest_gap"] == pytest.approx(366 / 30.4375)
        assert found.loc["p2", "interval_later"] == pytest.approx(365 / 30.4375)
        frame = pd.DataFrame({"patient_id": ["p1", "p2"], "cohort": ["train", "external-B"], "centre": ["A", "B"]})
        rows = transport.surveillance_rows(found.reset_index(), frame).set_index(["cohort", "quantity"])
        assert rows.loc[("train", "share_with_long_gap"), "estimate"] == 0
        assert rows.loc[("external-B", "share_with_long_gap"), "estimate"] == 1

    def test_a_date_that_is_none_is_named(self, tmp_path):
        study = self.study(tmp_path, [("p1", "1.2.2015")])
        with pytest.raises(StudyError, match="line 2: patient 'p1': '1.2.2015'"):
            visit_intervals(study, clinical_cells(study)[0], pd.Series(["p1"]))


@pytest.mark.parametrize(
    ("quantity", "estimate", "se", "pooled"),
    [("c_harrell", 0.7, 0.1, True), ("c_harrell", 1.0, 0.0, False), ("c_harrell", 0.0, 0.1, False),
     ("oe_ratio", 1.4, 0.2, True), ("oe_ratio", 0.0, np.inf, False), ("oe_ratio", 1.2, np.nan, False)],
)  # fmt: skip
def test_a_centre_of_a_handful_is_not_pooled_where_its_estimate_is_at_the_edge(quantity, estimate, se, pooled):
    """Two patients of R's lung at institution 33: C = 1, whose logit is infinite."""
    assert transport.can_be_pooled(quantity, {"estimate": estimate, "se": se}) is pooled
