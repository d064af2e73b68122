"""Nested, out-of-bag and optimism-corrected calibration of outcomes in time: every draw as if it stood alone."""

import numpy as np
import pandas as pd
import pytest

from recur.fit.whole import apply, fit
from recur.resampling.bootstrap import bootstrap_fit, resample_performance, resample_rows, resample_settings
from recur.resampling.fits import imputed_once
from recur.resampling.internal_calibration import measure_column, nested_calibration, nested_measures
from recur.resampling.nested import nested_columns, nested_predictions
from recur.statistics import calibration
from recur.statistics.brier import brier_at, ipa
from recur.statistics.competing import c_competing
from recur.statistics.nested_concordance import bootstrap_c_competing
from recur.statistics.outcome import Outcome
from recur.statistics.risk_draws import drawn_outcomes, risk_measures
from tests.fit.test_whole import cohort, settings

HORIZONS = (20.0, 30.0)


def patients(n=150, seed=0, tied=True):
    """time (tied in whole months), event, competing, a linear predictor and risks at both horizons."""
    rng = np.random.default_rng(seed)
    lp = rng.normal(size=n)
    failure, first = rng.exponential(30 * np.exp(-0.7 * lp)), rng.random(n) < 0.7
    limit = rng.uniform(5, 60, n)
    time, seen = np.minimum(failure, limit), failure <= limit
    time = np.ceil(time) if tied else time
    risks = {h: 1 - np.exp(-h / 40 * np.exp(lp)) for h in HORIZONS}
    return time, seen & first, seen & ~first, lp, risks


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("with_competing", [False, True])
def test_every_draw_has_the_estimates_of_its_own_rows(with_competing, tied):
    time, event, other, lp, risks = patients(tied=tied)
    other = other if with_competing else None
    rows = np.vstack([np.arange(150), np.random.default_rng(1).integers(0, 150, (8, 150))])
    counts = np.array([np.bincount(at, minlength=150) for at in rows])
    found = risk_measures(drawn_outcomes(Outcome(event, time, other), counts), lp, risks)
    for i, at in enumerate(rows):
        died = None if other is None else other[at]
        if other is None:
            slope = calibration.calibration_slope(time[at], event[at], lp[at])
        else:
            slope = calibration.competing_slope(time[at], event[at], died, risks[30.0][at])
        assert found["calibration_slope", None][i] == pytest.approx(slope["estimate"], rel=1e-7)
        for h in HORIZONS:
            judged = time[at], event[at], risks[h][at], h, died
            alone = {"brier": brier_at, "ipa": ipa, "oe_ratio": calibration.observed_expected}
            for metric, function in alone.items():
                assert found[metric, h][i] == pytest.approx(function(*judged)["estimate"], rel=1e-10), metric


def test_draws_without_an_answer_are_blank():
    time, event, _, lp, risks = patients()
    nobody_late = (time <= 20).astype(float)
    nobody_early = (time > 30).astype(float)
    counts = np.array([nobody_late, nobody_early, np.where(event, 0.0, 1.0)])
    found = risk_measures(drawn_outcomes(Outcome(event, time), counts), lp, risks)
    assert np.isnan([found[metric, 30.0][0] for metric in ("brier", "ipa")]).all()
    assert np.isnan([found[metric, 20.0][i] for metric in ("brier", "ipa", "oe_ratio") for i in (1, 2)]).all()
    assert np.isnan(found["calibration_slope", None][2])
    separated = risk_measures(
        drawn_outcomes(Outcome(np.ones(40), np.arange(1.0, 41))), -np.arange(40.0), {20.0: lp[:40]}
    )
    assert np.isnan(separated["calibration_slope", None]).all()
    constant = risk_measures(drawn_outcomes(Outcome(event, time)), np.ones(150), {20.0: np.full(150, np.nan)})
    assert np.isnan(np.concatenate(list(constant.values()))[[0, 1, 2]]).all()


def test_wolbers_c_of_every_draw_is_that_of_its_own_rows():
    time, event, other, _, risks = patients(90)
    risk = risks[20.0].round(2)  # ties
    frame = pd.DataFrame({"time": time, "event": event, "competing": other})
    whole = [{"place": np.arange(90), "risk": risk}]
    estimate, draws = bootstrap_c_competing(whole, frame, 20.0, 20, np.random.default_rng(8))
    assert estimate == pytest.approx(c_competing(time, event, other, risk, 20.0)[0]["estimate"], abs=1e-12)
    for value, at in zip(draws, np.random.default_rng(8).integers(0, 90, (20, 90)), strict=True):
        expected = c_competing(time[at], event[at], other[at], risk[at], 20.0)[0]["estimate"]
        assert value == pytest.approx(expected, abs=1e-12)


def test_pairs_of_two_folds_do_not_count():
    """Two folds whose risks lie on scales of their own: within each the order is perfect, across them it is not."""
    time = np.arange(1.0, 41)
    event, other = np.arange(40) % 3 != 0, np.arange(40) % 3 == 0
    frame = pd.DataFrame({"time": time, "event": event, "competing": other})
    risk = np.where(event, 1 - time / 50, 0.0)
    odd = np.arange(40) % 2 == 1
    folds = [{"place": np.flatnonzero(part), "risk": (risk + 5 * part)[part]} for part in (odd, ~odd)]
    together = [{"place": np.arange(40), "risk": risk + 5 * odd}]
    assert bootstrap_c_competing(folds, frame, 30.0, 1, np.random.default_rng(0))[0] == 1
    assert bootstrap_c_competing(together, frame, 30.0, 1, np.random.default_rng(0))[0] < 0.9


def training(with_competing: bool):
    """Training rows in time, with or without a competing event, and the settings of one clinical and one full model."""
    train = cohort()
    competing = (train.outcome.event == 0) & (np.arange(len(train.patient_id)) % 3 == 0)
    train = train._replace(outcome=train.outcome._replace(competing=competing.astype(int))) if with_competing else train
    horizons = [float(np.quantile(train.outcome.time, q).round(1)) for q in (0.4, 0.6)]
    return train, settings() | {"models": ["clinical_pre", "combined_pre"], "horizons_months": horizons}


@pytest.fixture(scope="module", params=[False, True], ids=["survival", "competing"])
def runs(request):
    train, chosen = training(request.param)
    nested = pd.concat([nested_predictions(train, chosen, 1, repeat, 3) for repeat in range(2)], ignore_index=True)
    quick = resample_settings(train, chosen)
    rows = [row for number in range(4) for row in bootstrap_fit(train, quick, 1, number)]
    return train, chosen, quick, nested, pd.DataFrame(rows)


def by_hand(frame, h, last):
    """Estimates of a table of predictions by the functions that judge held-out patients."""
    other = frame.get("competing")
    judged = frame["time"], frame["event"], frame[f"risk_{h:g}"], h, other
    if other is None:
        slope = calibration.calibration_slope(frame["time"], frame["event"], frame["lp"])
    else:
        slope = calibration.competing_slope(frame["time"], frame["event"], other, frame[f"risk_{last:g}"])
    oe = calibration.observed_expected(*judged)
    found = {"calibration_slope": slope, "brier": brier_at(*judged), "ipa": ipa(*judged), "oe_ratio": oe}
    if other is not None:
        at_last = frame["time"], frame["event"], other, frame[f"risk_{last:g}"], last
        found["c_competing"] = c_competing(*at_last)[0]
    return {metric: value["estimate"] for metric, value in found.items()}


class TestNested:
    def test_every_patient_has_a_risk_at_every_horizon_by_a_model_that_did_not_see_it(self, runs):
        train, chosen, _, nested, _ = runs
        assert list(nested) == nested_columns(train, chosen)
        columns = [f"risk_{h:g}" for h in chosen["horizons_months"]]
        assert nested[columns].apply(lambda risk: risk.between(0, 1)).all(axis=None)
        counts = nested.groupby(["repeat", "model"])["patient_id"].agg(["size", "nunique"])
        assert (counts == len(train.patient_id)).all(axis=None)
        held = nested[(nested["repeat"] == 0) & (nested["fold"] == 1) & (nested["model"] == "combined_pre")]
        inside = np.isin(train.patient_id, held["patient_id"])
        again = fit(train.rows(np.flatnonzero(~inside)), imputed_once(chosen), 1)
        expected = apply(again, train.rows(np.flatnonzero(inside)))["combined_pre"]
        np.testing.assert_array_equal(held[columns], expected[columns])

    def test_estimates_are_means_over_repeats_of_what_held_out_patients_are_judged_by(self, runs):
        _, chosen, _, nested, _ = runs
        last, own = max(chosen["horizons_months"]), nested[nested["model"] == "combined_pre"]
        table = nested_measures(own, 1).set_index(["metric", "horizon_months"])
        for h in chosen["horizons_months"]:
            each = pd.DataFrame([by_hand(part, h, last) for _, part in own.groupby("repeat")]).mean()
            slope = table.loc["calibration_slope"].iloc[0]
            assert slope["estimate"] == pytest.approx(each["calibration_slope"], rel=1e-7)
            assert slope["lower"] < slope["estimate"] < slope["upper"]
            for metric in ("brier", "ipa", "oe_ratio"):
                row = table.loc[(metric, h)]
                assert row["estimate"] == pytest.approx(each[metric], rel=1e-9)
                assert row["lower"] < row["estimate"] < row["upper"] and "mean over 2 repeats" in row["method"]
        assert (("c_competing", last) in table.index) == ("competing" in nested)

    def test_the_interval_is_of_patients_not_of_rows(self, runs):
        """The same predictions four times over say no more than once."""
        once = runs[3].query("repeat == 0 and model == 'combined_pre'")
        copies = pd.concat([once.assign(repeat=repeat) for repeat in range(4)])
        columns = ["metric", "horizon_months", "estimate", "lower", "upper"]
        few, many = (nested_measures(part, 1)[columns] for part in (once, copies))
        pd.testing.assert_frame_equal(few, many)

    def test_the_order_of_rows_changes_nothing(self, runs):
        nested = runs[3].query("model == 'combined_pre'")
        shuffled = nested.sample(frac=1, random_state=1)
        pd.testing.assert_frame_equal(nested_measures(nested, 1), nested_measures(shuffled, 1))

    def test_a_horizon_that_few_reach_is_blank_with_its_reason(self, runs):
        last = max(runs[1]["horizons_months"])
        nested = runs[3].query("model == 'combined_pre'").rename(columns={f"risk_{last:g}": "risk_999"})
        table = nested_measures(nested, 1).query("horizon_months == 999")
        assert len(table) and table["estimate"].isna().all()
        assert table["method"].str.contains("fewer than 10").all()

    def test_curves_are_means_over_repeats_and_have_no_limits(self, runs):
        _, chosen, _, nested, _ = runs
        table = pd.concat(nested_calibration(nested))
        assert set(table["cohort"]) == {"train-nested_cv"} and table[["lower", "upper"]].isna().all(axis=None)
        found = set(zip(table["kind"], table["horizon_months"], strict=True))
        assert found == {(kind, h) for kind in ("curve", "group") for h in chosen["horizons_months"]}
        h, own = chosen["horizons_months"][0], nested[nested["model"] == "combined_pre"]
        curve = table.query("model == 'combined_pre' and kind == 'curve' and horizon_months == @h")
        each = []
        for _, part in own.groupby("repeat"):
            other = part.get("competing")
            judged = part["time"], part["event"], part[f"risk_{h:g}"], h
            found = calibration.calibration_curve(*judged, grid=curve["predicted"], competing=other)
            each.append(found["curve"]["observed"])
        np.testing.assert_allclose(curve["observed"], np.mean(each, axis=0))


class TestResamples:
    def test_each_place_is_judged_by_the_resamples_own_model(self, runs):
        train, chosen, quick, _, rows = runs
        last = max(chosen["horizons_months"])
        drawn = resample_rows(train, 1, 2)
        frozen = fit(train.rows(drawn), quick, 1)
        out = np.setdiff1d(np.arange(len(train.patient_id)), drawn)
        own = rows[(rows["resample"] == 2) & (rows["model"] == "combined_pre")].iloc[0]
        for place, part in (("resample", train.rows(drawn)), ("all", train), ("out_of_bag", train.rows(out))):
            frame = apply(frozen, part)["combined_pre"]
            for h in chosen["horizons_months"]:
                for metric, value in by_hand(frame, h, last).items():
                    months = {"calibration_slope": None, "c_competing": last}.get(metric, h)
                    column = f"{measure_column(metric, months)}_{place}"
                    assert own[column] == pytest.approx(value, rel=1e-7, nan_ok=True), column

    def test_optimism_is_taken_from_the_apparent_estimate_of_the_same_horizon(self, runs):
        _, chosen, _, _, rows = runs
        h = chosen["horizons_months"][0]
        known = {"c_harrell": 0.8, "brier": 0.2, "ipa": 0.3, "oe_ratio": 1.0, "calibration_slope": 1.0, "auc": 0.8}
        timeless = ("c_harrell", "calibration_slope")
        apparent = pd.DataFrame({"metric": known.keys(), "estimate": known.values(), "model": "combined_pre"})
        apparent = apparent.assign(horizon_months=[np.nan if m in timeless else h for m in known], n=120, events=60)
        value = resample_performance(pd.concat([rows] * 10), apparent).set_index(["cohort", "metric"])
        assert set(value.index.get_level_values("metric")) == set(known) - {"auc"}
        corrected, own = value.loc["train-optimism_corrected"], rows[rows["model"] == "combined_pre"]
        for metric in ("brier", "ipa", "oe_ratio"):
            optimism = (own[f"{metric}_{h:g}_resample"] - own[f"{metric}_{h:g}_all"]).mean()
            assert corrected.loc[metric, "estimate"] == pytest.approx(known[metric] - optimism)
            assert corrected.loc[metric, "horizon_months"] == h
        # the fit itself sets them to 1
        assert corrected.loc[["calibration_slope", "oe_ratio"], ["lower", "upper"]].isna().all(axis=None)
        shift = (own[f"brier_{h:g}_resample"] - own[f"brier_{h:g}_all"]).mean()
        centile = pd.concat([own[f"brier_{h:g}_resample"]] * 10).quantile(0.025)
        assert corrected.loc["brier", "lower"] == pytest.approx(centile - shift)
        out_of_bag = value.loc["train-oob"].loc["calibration_slope"]
        assert out_of_bag["lower"] < out_of_bag["estimate"] < out_of_bag["upper"]
