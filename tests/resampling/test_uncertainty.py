"""Sample size, learning curve, ablations, missing-data sensitivity, analyses side by side, failed folds."""

import numpy as np
import pandas as pd
import pytest

from recur.fit.models import fit_models
from recur.fit.sample_size import candidate_parameters, largest_r2, required_sizes, sample_size_table
from recur.fit.signature import build_signature, volume_correlations
from recur.resampling import nested
from recur.resampling.ablation import ALL, ablation_rows, restricted, subsets
from recur.resampling.bootstrap import resample_performance, selection_frequency
from recur.resampling.learning import learning_curve, learning_fits
from recur.resampling.nested import nested_performance, nested_predictions
from recur.statistics.concordance import c_difference, harrell_c
from recur.statistics.estimate import NotEstimable
from recur.validation.contrast import contrast
from recur.validation.missing_data import missing_data_performance, pooled_c
from tests.fit.test_whole import VARIABLES, cohort, settings


class TestSampleSize:
    """The published pmsampsize example: 30 parameters, R2 0.051, rate 0.065 a year, follow-up 2.07, horizon 2 years."""

    def test_it_is_the_published_example(self):
        sizes = required_sizes(30, 0.051, 0.065, 2.07, 2)
        assert sizes["shrinkage 0.9"] == 5143
        assert sizes["optimism of R2 within 0.05"] == 1039
        assert largest_r2(0.065, 2.07) == pytest.approx(0.555, abs=5e-4)
        assert pytest.approx(23.07, abs=0.005) == 5143 * 0.065 * 2.07 / 30

    def test_the_third_criterion_gives_the_precision_it_promises(self):
        n, rate, horizon = required_sizes(30, 0.051, 0.065, 2.07, 2)["risk at the horizon within 0.05"], 0.065, 2
        upper = rate + 1.959964 * np.sqrt(rate / (2.07 * n))
        assert np.exp(-rate * horizon) - np.exp(-upper * horizon) == pytest.approx(0.05, abs=2e-4)

    def test_levels_count_and_so_do_the_features_that_were_looked_at(self):
        variables = VARIABLES | {"stage": {"kind": "categorical", "levels": ["I", "II", "III"]}}
        chosen = {"variables": variables, "candidates": {"pre": ["afp", "stage"], "post": ["mvi"]}}
        assert candidate_parameters(chosen, 100) == {
            "clinical terms and signature": 5,
            "clinical terms and every feature": 104,
        }

    def test_the_table_says_what_is_met(self):
        time, event = np.full(400, 24.0), np.tile([1, 0], 200)
        table = sample_size_table(time, event, {"clinical terms": 3, "everything": 3000}, 24, None)
        assert table.loc[table["scope"] == "clinical terms", "met"].all()
        assert not table.loc[(table["scope"] == "everything") & (table["criterion"] == "shrinkage 0.9"), "met"].any()
        assert table["events_per_parameter"].iloc[0] == pytest.approx(200 / 3)


class TestMissingData:
    def test_rubin_on_the_logit_of_c(self):
        found = pooled_c(np.array([0.7, 0.7, 0.7]), np.array([0.03, 0.03, 0.03]))
        assert found["estimate"] == pytest.approx(0.7)
        assert np.log(found["upper"] / (1 - found["upper"])) - np.log(0.7 / 0.3) == pytest.approx(
            1.959964 * 0.03 / (0.7 * 0.3), rel=1e-6
        )
        wider = pooled_c(np.array([0.66, 0.7, 0.74]), np.array([0.03, 0.03, 0.03]))
        assert wider["upper"] - wider["lower"] > found["upper"] - found["lower"]

    def test_only_models_with_missing_cells_get_rows(self):
        train = cohort()
        train.clinical.loc[5:25, "afp"] = np.nan
        chosen = settings() | {"models": ["clinical_pre"], "candidates": {"pre": ["afp", "margin"], "post": []}}
        models = fit_models(train, None, chosen, 1) | {
            "margin": fit_models(train, None, chosen | {"candidates": {"pre": ["margin"], "post": []}}, 1)[
                "clinical_pre"
            ]
        }
        frame = train.clinical.assign(cohort="external-B", time=train.outcome.time, event=train.outcome.event)
        table = missing_data_performance(models, frame, None, 5, 1)
        assert set(table["model"]) == {"clinical_pre"}
        own = table.set_index("metric")
        complete = frame.dropna()
        assert own.loc["c_harrell_complete_cases", "n"] == len(complete)
        assert own.loc["c_harrell_imputed", "n"] == len(frame)
        assert 0.4 < own.loc["c_harrell_imputed", "lower"] < own.loc["c_harrell_imputed", "upper"] < 0.9
        pd.testing.assert_frame_equal(table, missing_data_performance(models, frame, None, 5, 1))


class TestLearningCurve:
    def test_larger_parts_hold_the_smaller_ones_and_learn_more(self):
        train, chosen = cohort(n=200, signal=1.0), settings() | {"models": ["signature"]}
        runs = pd.DataFrame([row for repeat in range(2) for row in learning_fits(train, chosen, 1, repeat)])
        table = learning_curve(runs)
        curve = table[table["model"] == "signature"].sort_values("n")
        assert list(curve["n"]) == [40, 80, 120, 160]
        assert curve["estimate"].iloc[-1] > curve["estimate"].iloc[0]
        assert (curve["repeats"] == 2).all()

    def test_a_failed_fit_is_counted(self, monkeypatch):
        def fail(*_):
            raise NotEstimable("too few events")

        chosen = settings() | {"models": ["signature"]}
        rows = learning_fits(cohort(n=60), chosen, 1, 0)
        assert rows == learning_fits(cohort(n=60), chosen, 1, 0)
        monkeypatch.setattr("recur.resampling.learning.fit", fail)
        table = learning_curve(pd.DataFrame(rows + learning_fits(cohort(n=60), chosen, 1, 1)))
        assert (table["failed"] == 1).all()


class TestAblations:
    names = ["AP_tumour_a", "AP_rim_a", "PVP_tumour_a", "PVP_rim_a"]

    def test_they_follow_from_the_names(self):
        found = subsets(self.names)
        assert list(found) == ["AP_only", "PVP_only", "tumour_only", "rim_only"]
        assert found["rim_only"] == ["AP_rim_a", "PVP_rim_a"]
        assert list(subsets(self.names[:2])) == ["tumour_only", "rim_only"]
        assert subsets(self.names[:1]) == {}

    def test_a_restricted_training_set_has_those_columns_of_all_readings(self):
        train = cohort()
        part = restricted(train, [train.names[4], train.names[1]])
        np.testing.assert_array_equal(part.features, train.features[:, [4, 1]])
        np.testing.assert_array_equal(part.repeats, train.repeats[:, :, [4, 1]])

    def test_the_difference_is_paired_and_has_no_p_on_fitted_rows(self):
        train, rng = cohort(), np.random.default_rng(0)
        lp = pd.DataFrame(rng.normal(size=(len(train.patient_id), 2)), index=train.patient_id, columns=[ALL, "AP_only"])
        outcome = pd.DataFrame(
            {"patient_id": train.patient_id, "time": train.outcome.time, "event": train.outcome.event}
        )
        scores = {name: {"signature": lp[name]} for name in lp}
        sizes = {ALL: (30, 3), "AP_only": (15, 2)}
        row = ablation_rows(scores, outcome, "external-B", sizes, tested=True).set_index("ablation").loc["AP_only"]
        expected = c_difference(train.outcome.time, train.outcome.event, lp["AP_only"], lp[ALL])
        assert row["difference"] == pytest.approx(expected["estimate"])
        assert row["p"] == pytest.approx(expected["p"])
        fitted = ablation_rows(scores, outcome, "train-apparent", sizes, tested=False)
        assert fitted["p"].isna().all()


def test_two_analyses_are_compared_on_patients_that_neither_saw():
    rng = np.random.default_rng(3)
    n = 120
    ids = [f"p{i:03d}" for i in range(n)]
    base = pd.DataFrame({"patient_id": ids, "endpoint": "TTR", "model": "combined_pre", "time": rng.exponential(20, n)})
    base["event"] = rng.integers(0, 2, n)
    a = base.assign(analysis="a", lp=rng.normal(size=n), cohort=["train"] * 60 + ["external-B"] * 60)
    b = base.assign(analysis="b", lp=rng.normal(size=n), cohort=["test", "train"] * 60)
    table = contrast({"a": a, "b": b}, external=set(ids[60:]))
    both = [i for i in range(60, n) if i % 2 == 0]
    row = table.iloc[0]
    assert row["n"] == len(both)
    expected = harrell_c(base["time"][both], base["event"][both], a["lp"][both])
    assert row["estimate_a"] == pytest.approx(expected["estimate"])
    assert row["difference"] == pytest.approx(row["estimate_a"] - row["estimate_b"])
    assert contrast({"a": a, "b": b.assign(endpoint="OS")}).empty


class TestWhatFailed:
    def test_folds_left_out_are_named_in_the_method(self, monkeypatch):
        train, chosen, calls, whole = cohort(), settings(), [], nested.fit

        def sometimes(*arguments):
            calls.append(1)
            if len(calls) == 2:
                raise NotEstimable("coefficient 0 is infinite (separation)")
            return whole(*arguments)

        monkeypatch.setattr(nested, "fit", sometimes)
        method = nested_performance(nested_predictions(train, chosen, 1, 0, 4), 1)["method"].iloc[0]
        assert "1 folds left out (repeat/fold 0/1: coefficient 0 is infinite (separation))" in method

    def test_failed_resamples_are_counted(self):
        good = {"model": "m", "c_resample": [0.8, 0.9], "c_all": 0.7, "c_out_of_bag": 0.6, "failed": ""}
        runs = pd.concat([pd.DataFrame(good), pd.DataFrame([{"model": "", "failed": "no events"}])])
        own = {"model": "m", "metric": "c_harrell", "estimate": 0.85, "lower": 0.8, "upper": 0.9, "n": 10, "events": 5}
        table = resample_performance(runs, pd.DataFrame([own]))
        assert table["method"].str.contains(r"2 resamples of the whole fit \(1 more failed: no events\)").all()

    def test_every_feature_has_a_selection_frequency(self):
        runs = pd.DataFrame({"model": ["signature", "signature"], "features": ["a;b", "a"]})
        assert selection_frequency(runs, ["a", "b", "c"]).to_dict() == {"a": 1.0, "b": 0.5, "c": 0.0}


class TestVolume:
    def test_a_signature_that_is_volume_in_disguise_shows_it(self):
        train = cohort()
        volume = np.exp((train.features[:, 0] - 5) / 0.1)
        train = train._replace(clinical=train.clinical.assign(tumour_volume=volume))
        chosen = settings() | {"stability": {"rule": "none", "threshold": 0.0, "min_patients": 10}}
        signature, _ = build_signature(train, pd.DataFrame(), chosen, 1)
        table = volume_correlations(train, signature)
        assert signature["features"][0]["name"] == "AP_tumour_f0"
        assert table["volume_rho"][0] == pytest.approx(1.0)
        assert table["volume_partial_rho"][0] == pytest.approx(1.0)
        assert table["volume_rho"][1:].abs().max() < 0.4

    def test_size_and_volume_models_stand_beside_the_others(self):
        train = cohort()
        train = train._replace(clinical=train.clinical.assign(tumour_volume=np.exp(train.features[:, 0])))
        models = fit_models(train, None, settings() | {"models": ["clinical_pre"]}, 1)
        assert list(models) == ["clinical_pre", "volume_only"]
        assert [term["name"] for term in models["volume_only"]["terms"]] == ["tumour_volume"]
