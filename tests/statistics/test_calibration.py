import re

import numpy as np
import oracle
import pytest

from recur.statistics import calibration as c
from recur.statistics import splines
from recur.statistics.estimate import NotEstimable
from recur.statistics.net_benefit import net_benefit


def exact(ours, r, tolerance=1e-9):
    assert oracle.worst(ours, r) < tolerance


def sample(n=400, seed=0):
    rng = np.random.default_rng(seed)
    lp = rng.normal(size=n)
    failure, censoring = rng.exponential(size=n) * np.exp(-lp), rng.exponential(size=n) * 3
    return np.minimum(failure, censoring), failure <= censoring, lp, 1 - np.exp(-np.exp(lp))


@pytest.mark.reference
def test_calibration_and_net_benefit_equal_r():
    predictions, seen = oracle.table("rotterdam_gbsg", "predictions.csv"), set()
    for name, item in oracle.items("rotterdam_gbsg", "calibration").items():
        r, (cohort, model, kind) = item["values"], name.split("/")
        data = predictions[predictions["set"] == cohort]
        outcome, horizon = (data["time"], data["status"]), int(name[-1]) if name[-2] == "t" else None
        risk = data[f"risk{horizon}_{model}"] if horizon else None
        if kind == "slope":
            ours = c.calibration_slope(*outcome, data[f"lp_{model}"])
            exact(
                [ours[k] for k in ("estimate", "se", "lower", "upper")],
                [r[k] for k in ("slope", "se", "lower95", "upper95")],
            )
            assert ours["p"] == pytest.approx(r["wald_p_slope1"], rel=1e-9, abs=1e-9)
        elif kind.startswith("oe_t"):
            ours = c.observed_expected(*outcome, risk, horizon)
            exact(
                [ours[k] for k in ("observed", "expected", "estimate", "events", "lower", "upper")],
                [r[k] for k in ("observed", "expected", "oe", "events_by_t", "lower95_events", "upper95_events")],
            )
        elif kind.startswith("ici_t"):
            ours = c.calibration_curve(*outcome, risk, horizon, grid=risk[:10])
            measures = ("ici", "e50", "e90", "emax")
            exact([ours[k] for k in measures], [r["knots3"][k] for k in measures])
            exact(ours["curve"]["observed"], r["knots3"]["observed_first10"])
        elif kind.startswith("groups"):
            ours = c.calibration_groups(*outcome, risk, horizon, int(re.match(r"groups(\d+)", kind)[1]))
            columns = {"predicted": "mean_predicted", "lower": "lower95", "upper": "upper95", "events": "events_by_t"}
            for column in ours:
                exact(ours[column], r[columns.get(column, column)])
        elif kind.startswith("decision_curve"):
            ours = net_benefit(*outcome, risk, horizon, r["threshold"])
            columns = {"net_benefit": "net_benefit", "treat_all": "net_benefit_all", "share": "p_high"}
            for column, expected in columns.items():
                exact(ours[column], r[expected])
        else:
            continue
        seen.add(re.sub(r"\d*(_t\d)?$", "", kind))
    assert seen == {"slope", "oe", "ici", "groups", "decision_curve"}


def test_the_true_model_is_calibrated():
    time, event, lp, risk = sample(4000)
    assert c.calibration_slope(time, event, lp)["estimate"] == pytest.approx(1, abs=0.06)
    assert c.observed_expected(time, event, risk, 1)["estimate"] == pytest.approx(1, abs=0.06)
    result = c.calibration_curve(time, event, risk, 1)
    assert result["ici"] < 0.03 and result["e50"] <= result["e90"] <= result["emax"]
    curve = result["curve"]
    assert (
        len(curve) == 100 and (curve["lower"] < curve["observed"]).all() and (curve["observed"] < curve["upper"]).all()
    )
    groups = c.calibration_groups(time, event, risk, 1, 10)
    assert list(groups["n"]) == [400] * 10 and np.abs(groups["predicted"] - groups["observed"]).max() < 0.1


def test_spline_is_linear_outside_its_knots():
    x = np.array([-3.0, -2, -1, 4, 5, 6])
    basis = splines.restricted_cubic_spline(x, [0, 1, 2, 3])
    assert basis.shape == (6, 3) and (basis[:3, 1:] == 0).all()
    assert np.diff(basis[3:], n=2, axis=0) == pytest.approx(0, abs=1e-12)


def test_few_distinct_risks_give_a_straight_line():
    time, event, lp, _ = sample()
    result = c.calibration_curve(time, event, np.where(lp > 0, 0.7, 0.3), 1)
    assert np.isfinite(result["ici"])
    assert len(c.calibration_groups(time, event, np.where(lp > 0, 0.7, 0.3), 1)) == 2


def test_no_answer_is_said():
    time, event, lp, risk = sample()
    with pytest.raises(NotEstimable, match="all predicted risks are equal"):
        c.calibration_curve(time, event, np.full(400, 0.4), 1)
    with pytest.raises(NotEstimable, match="patients at risk"):
        c.calibration_curve(time, event, risk, 50)
    with pytest.raises(ValueError, match="outside"):
        c.calibration_curve(time, event, 2 * risk, 1)
    assert c.calibration_slope(time, event, 0 * lp)["reason"] == "a covariate is constant"
    assert "fewer than 10" in c.observed_expected(time, event, risk, 50)["reason"]
    assert c.calibration_groups(time, event, np.full(400, 0.4), 1)["n"].to_list() == [400]
    assert np.isfinite(c.calibration_curve(time, event, np.where(lp > 1, 1.0, risk), 1)["ici"])


def test_net_benefit_without_censoring_by_counting():
    time, _, _, risk = sample()
    risk = np.minimum(risk, 0.9)
    table = net_benefit(time, np.ones(400), risk, 1, [0.0, 0.2, 0.5, 0.95])
    for _, row in table.iterrows():
        high, case, odds = risk >= row["threshold"], time <= 1, row["threshold"] / (1 - row["threshold"])
        counted = ((high & case).sum() - (high & ~case).sum() * odds) / 400
        assert row["net_benefit"] == pytest.approx(counted)
        assert row["treat_all"] == pytest.approx(case.mean() - (1 - case.mean()) * odds)
    assert table["net_benefit"].iloc[-1] == 0
    assert net_benefit(time, np.ones(400), risk, 50, [0.2])["reason"][0] != ""
    with pytest.raises(ValueError, match="thresholds"):
        net_benefit(time, np.ones(400), risk, 1, [1.0])
