"""Scores beside the models: published ranks, recalibrated risks, the same patients, honest tests."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import brier_score_loss, roc_auc_score

from recur.cohort.published_scores import NOTE_COLUMNS
from recur.fit.published_scores import fit_scores
from recur.predict.published_scores import apply_scores
from recur.statistics.concordance import harrell_c
from recur.statistics.nested_concordance import NESTED_COLUMNS
from recur.statistics.roc import auc_difference
from recur.validation.published_scores import (
    same_patients,
    score_comparisons,
    score_curves,
    score_performance,
    with_holm,
)
from tests.fit.test_whole import cohort, settings

NOTES = pd.DataFrame(
    [
        ("good", "Good score", "pre", "recurrence", "stored", "-", "log_hazard", 120, 0, "", "afp;margin"),
        ("stage", "Stage", "post", "stage", "memory", "-", "", 120, 0, "", "mvi"),
        ("constant", "Always one", "pre", "stage", "stored", "-", "", 120, 0, "", ""),
        ("absent", "Not computed", "pre", "stage", "stored", "-", "", 0, 120, "", ""),
    ],
    columns=NOTE_COLUMNS,
)


NO_NESTED = pd.DataFrame(columns=NESTED_COLUMNS)


@pytest.fixture(scope="module")
def judged():
    train = cohort()
    rng = np.random.default_rng(9)
    z = (train.features[:, 0] - 5) / 0.1
    good = 0.4 * z + rng.normal(size=len(z))
    good[:3] = np.nan
    clinical = train.clinical.assign(
        score_good=good,
        score_stage=(z > 0.5).astype(float),
        score_stage_group=np.where(z > 0.5, "B", "A"),
        score_constant=1.0,
    )
    train = train._replace(clinical=clinical)
    models, fit = fit_scores(train, NOTES, settings(), 1)
    frame = clinical.assign(patient_id=train.patient_id, time=train.outcome.time, event=train.outcome.event)
    frame["cohort"] = np.where(np.arange(len(frame)) % 3 == 0, "external-B", "train")
    own = pd.concat(
        [
            frame[["patient_id", "cohort", "time", "event"]].assign(model=name, lp=0.8 * z + shift)
            for name, shift in (("combined_pre", 0.0), ("combined_post", 0.1))
        ]
    )
    return models, fit, frame, own


@pytest.fixture(scope="module")
def binary():
    """The same scores with an outcome that has no time; one score runs against it."""
    train, rng = cohort(), np.random.default_rng(9)
    z = (train.features[:, 0] - 5) / 0.1
    good = 1.2 * z + rng.normal(size=len(z))
    clinical = train.clinical.assign(
        score_good=good, score_stage=(z > 0.5).astype(float), score_stage_group=np.where(z > 0.5, "B", "A"),
        score_constant=-z,
    )  # fmt: skip
    event = (rng.random(len(z)) < expit(1.5 * z)).astype(int)
    train = train._replace(clinical=clinical, outcome=train.outcome._replace(time=None, event=event))
    models, fit = fit_scores(train, NOTES, settings(), 1)
    frame = clinical.assign(patient_id=train.patient_id, event=event)
    frame["cohort"] = np.where(np.arange(len(frame)) % 3 == 0, "external-B", "train")
    own = frame[["patient_id", "cohort", "event"]].assign(model="combined_pre", lp=0.8 * z, risk=expit(0.8 * z))
    return models, fit, frame, own


class TestBinaryOutcome:
    def test_scores_get_logistic_models_and_none_keeps_a_published_slope(self, binary):
        models, fit, frame, _ = binary
        assert list(models) == ["good", "stage", "constant"] and "baseline" not in models["good"]
        risk = apply_scores(models, frame).query("model == 'good'")["risk"]
        assert risk.mean() == pytest.approx(frame["event"].mean(), abs=1e-9)
        assert fit.set_index(["score", "form"]).loc[("good", "number"), "chi2"] > 10

    def test_a_score_computed_from_the_outcome_itself_is_not_judged(self):
        train = cohort()
        clinical = train.clinical.assign(score_good=np.arange(120.0), score_stage=np.arange(120) % 2.0)
        train = train._replace(clinical=clinical, outcome=train.outcome._replace(time=None))
        assert list(fit_scores(train, NOTES, settings() | {"own_variables": ["mvi"]}, 1)[0]) == ["good"]

    def test_the_auc_is_that_of_the_published_number_and_the_error_that_of_the_recalibrated_risk(self, binary):
        models, _, frame, own = binary
        risks = apply_scores(models, frame)
        table = score_performance(risks, models, 1).set_index(["model", "cohort", "metric"])["estimate"]
        here = frame[frame["cohort"] == "external-B"]
        for name in ("good", "stage", "constant"):
            expected = roc_auc_score(here["event"], here[f"score_{name}"])
            assert table[name, "external-B", "auc"] == pytest.approx(expected, abs=1e-12)
        assert table["constant", "external-B", "auc"] < 0.3  # not turned round by a negative slope
        mine = risks[(risks["model"] == "good") & (risks["cohort"] == "external-B")]
        expected = brier_score_loss(mine["event"], mine["risk"])
        assert table["good", "external-B", "brier"] == pytest.approx(expected, abs=1e-12)
        assert table["stage", "external-B", "c_attainable"] == 1 - table["stage", "external-B", "tied_share"] / 2
        assert "sensitivity" not in table.index.get_level_values("metric")
        risks, mine = same_patients(risks, own)
        curves, benefit = score_curves(risks, models, mine, {"combined_pre": {}}, (0.1, 0.6))
        assert curves.empty and {"combined_pre", "good", "treat_all"} <= set(benefit["model"])

    def test_comparisons_are_paired_delong_with_holm(self, binary):
        models, _, frame, own = binary
        scores, _ = same_patients(apply_scores(models, frame), own)
        nested = own[own["cohort"] == "train"].assign(repeat=0, fold=0, time=0.0)
        table = score_comparisons(own, scores, models, {"combined_pre": "pre"}, nested, 1)
        held = table[table["cohort"] == "external-B"].set_index("model_b")
        assert set(held["metric"]) == {"auc"} and (held["p_holm"] >= held["p"]).all() and (held["p_holm"] > 0).all()
        here = frame[frame["cohort"] == "external-B"]
        own_here = own[own["cohort"] == "external-B"]
        value = auc_difference(here["event"], own_here["lp"], here["score_stage"])
        row = held.loc["stage"]
        assert row[["difference", "lower", "upper", "p"]].tolist() == [
            value[k] for k in ("estimate", "lower", "upper", "p")
        ]
        assert table.loc[table["cohort"] == "train-apparent", "p"].isna().all()
        assert (table.loc[table["cohort"] == "train-nested_cv", "metric"] == "auc").all()


def test_a_score_that_cannot_be_fitted_is_left_out(judged):
    models, _, _, _ = judged
    assert list(models) == ["good", "good:baseline", "stage"]


def test_discrimination_uses_the_published_number_and_calibration_the_recalibrated_risk(judged):
    models, _, frame, _ = judged
    risks = apply_scores(models, frame)
    table = score_performance(risks, models, 1).set_index(["model", "cohort", "metric"])["estimate"]
    here = frame[(frame["cohort"] == "train") & frame["score_good"].notna()]
    expected = harrell_c(here["time"], here["event"], here["score_good"])["estimate"]
    assert table["good", "train-apparent", "c_harrell"] == pytest.approx(expected)
    assert table["good", "train-apparent", "c_harrell"] == table["good:baseline", "train-apparent", "c_harrell"]
    assert table["good", "train-apparent", "calibration_slope"] == pytest.approx(1, abs=0.25)
    assert table["good:baseline", "train-apparent", "calibration_slope"] < 1


def test_the_recalibrated_slope_is_that_of_a_cox_model_and_the_baseline_version_keeps_slope_one(judged):
    models, _, _, _ = judged
    assert models["good:baseline"]["terms"][0]["coef"] == 1.0
    assert 0.1 < models["good"]["terms"][0]["coef"] < 1.0


def test_a_stage_says_how_many_pairs_it_leaves_tied(judged):
    models, _, frame, _ = judged
    table = score_performance(apply_scores(models, frame), models, 1).set_index(["model", "cohort", "metric"])[
        "estimate"
    ]
    tied = table["stage", "external-B", "tied_share"]
    assert 0.3 < tied < 0.8
    assert table["stage", "external-B", "c_attainable"] == pytest.approx(1 - tied / 2)
    assert table["good", "external-B", "tied_share"] == 0


def test_stages_also_enter_as_dummies(judged):
    _, fit, _, _ = judged
    assert fit.groupby("score")["form"].apply(list).to_dict() == {"good": ["number"], "stage": ["number", "levels"]}
    stage = fit[fit["score"] == "stage"]
    assert np.ptp(stage["chi2"]) < 1e-9  # two levels: the same model


def test_all_scores_and_models_are_judged_on_the_same_patients(judged):
    models, _, frame, own = judged
    risks, mine = same_patients(apply_scores(models, frame), own)
    patients = risks.groupby("model")["patient_id"].apply(set)
    assert patients["good"] == patients["stage"] and not patients["good"] & {"p000", "p001", "p002"}
    assert set(mine["patient_id"]) == patients["good"]


def test_a_score_that_many_lack_does_not_shrink_the_others(judged):
    models, _, frame, own = judged
    sparse = frame.assign(score_good=frame["score_good"].where(np.arange(len(frame)) % 2 == 0))
    risks, _ = same_patients(apply_scores(models, sparse), own)
    sizes = risks.groupby("model").size()
    assert sizes["stage"] == len(frame) and sizes["good"] < 0.6 * len(frame)


def test_comparisons_are_paired_corrected_and_say_when_timing_differs(judged):
    models, _, frame, own = judged
    scores, _ = same_patients(apply_scores(models, frame), own)
    timing = {"combined_pre": "pre", "combined_post": "post"}
    table = score_comparisons(own, scores, models, timing, NO_NESTED, 1)
    held = table[(table["cohort"] == "external-B") & (table["metric"] == "c_harrell")]
    assert list(zip(held["model_a"], held["model_b"], strict=True)) == [
        ("combined_pre", "good"),
        ("combined_pre", "stage"),
        ("combined_post", "stage"),
    ]
    notes = held.set_index(["model_a", "model_b"])["note"]
    assert (
        "postoperative score" in notes["combined_pre", "stage"] and "rests on memory" in notes["combined_pre", "stage"]
    )
    assert notes["combined_pre", "good"] == "" and "preoperative" not in notes["combined_post", "stage"]
    assert (held["p_holm"] >= held["p"]).all() and held["n"].nunique() == 1
    assert table.loc[table["cohort"] == "train-apparent", "p"].isna().all()
    assert "one-sided" in table.loc[table["metric"] == "c_gamma", "method"].iloc[0]


def test_without_held_out_patients_a_model_meets_the_scores_in_nested_cross_validation(judged):
    """A model that looks better than a score on the rows it was fitted on, and fails on others, loses."""
    models, _, frame, own = judged
    train = frame[frame["cohort"] == "train"]
    rng = np.random.default_rng(3)
    nested = pd.concat(
        [
            train[["patient_id", "time", "event"]].assign(
                repeat=repeat, fold=rng.permutation(np.arange(len(train)) % 2), model="combined_pre", failed=""
            )
            for repeat in range(2)
        ]
    )
    nested["lp"] = -own.query("model == 'combined_pre'").set_index("patient_id")["lp"][nested["patient_id"]].to_numpy()
    scores, _ = same_patients(apply_scores(models, frame), own)
    timing = {"combined_pre": "pre", "combined_post": "post"}
    table = score_comparisons(own, scores, models, timing, nested, 1)
    rows = table[(table["model_b"] == "good") & (table["metric"] == "c_harrell")].set_index("cohort")
    assert rows.loc["train-apparent", "difference"] > 0.1 and np.isnan(rows.loc["train-apparent", "p"])
    unseen = rows.loc["train-nested_cv"]
    assert unseen["upper"] < 0 and unseen["p_holm"] < 0.01 and unseen["n"] == rows.loc["train-apparent", "n"]
    both = nested.merge(scores.query("model == 'good'")[["patient_id", "published"]], on="patient_id")
    pairs = np.zeros(3)
    for _, held in both.groupby(["repeat", "fold"]):
        time, event, lp, score = (held[name].to_numpy() for name in ("time", "event", "lp", "published"))
        usable = (event == 1)[:, None] & (time[:, None] < time)
        pairs += [(usable & (x[:, None] > x)).sum() for x in (lp, score)] + [usable.sum()]
    assert unseen["difference"] == pytest.approx((pairs[0] - pairs[1]) / pairs[2])


def test_a_study_whose_scores_cannot_be_fitted_has_empty_tables(judged):
    _, _, frame, own = judged
    none, mine = same_patients(apply_scores({}, frame), own)
    assert score_performance(none, {}, 1).empty
    assert all(table.empty for table in score_curves(none, {}, mine.head(0), {}, (0.1, 0.5)))
    assert score_comparisons(own, none, {}, {"combined_pre": "pre", "combined_post": "post"}, NO_NESTED, 1).empty


def test_holm_multiplies_the_smallest_p_by_the_number_of_tests():
    table = pd.DataFrame({"metric": ["c_harrell"] * 3 + ["c_gamma"], "p": [0.04, 0.01, 0.03, 0.001], "p_holm": np.nan})
    assert with_holm(table)["p_holm"].tolist()[:3] == pytest.approx([0.06, 0.03, 0.06])
    assert np.isnan(with_holm(table)["p_holm"].iloc[3])


def test_curves_of_scores_and_main_model_are_of_the_same_patients(judged):
    """The same predictor as a score and as the main model, known of every patient: one curve where both are judged."""
    models, _, frame, _ = judged
    main = {"combined_pre": models["good"]}
    own = apply_scores(main, frame.assign(score_good=frame["score_good"].fillna(0)))
    risks, mine = same_patients(apply_scores(models, frame), own)
    curves, benefit = score_curves(risks, models, mine, main, (0.1, 0.5))
    assert set(curves["metric"]) == {"auc", "brier", "brier_null"}
    assert {"combined_pre", "good", "stage", "treat_all", "treat_none"} == set(benefit["model"]) - {"good:baseline"}
    wide = benefit.pivot(index=["cohort", "horizon_months", "threshold"], columns="model", values="net_benefit")
    assert wide["combined_pre"].equals(wide["good"])
    brier = curves[curves["metric"] == "brier"].pivot(
        index=["cohort", "time_months"], columns="model", values="estimate"
    )
    assert brier["combined_pre"].equals(brier["good"])
