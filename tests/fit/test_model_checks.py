"""Training diagnostics: each finds what was planted and stays quiet where nothing is."""

import numpy as np
import pandas as pd
import pytest

from recur.fit.model_checks import (
    added_value,
    centre_from_features,
    cutpoint_spread,
    diagnose,
    nonlinearity,
    proportional_hazards,
    shadow_features,
    univariable_features,
)
from recur.fit.models import fit_models
from recur.fit.signature import second_stage_scores
from recur.fit.whole import fit
from recur.statistics.survival import kaplan_meier
from tests.fit.test_whole import cohort, settings


def clinical_only(time, event, **columns):
    """A model of one or two numeric clinical terms on simulated patients."""
    train = cohort(n=len(time))
    train = train._replace(clinical=pd.DataFrame(columns), outcome=train.outcome._replace(time=time, event=event))
    numeric = {"kind": "numeric", "timing": "pre", "unit": "", "transform": "none", "label": None}
    chosen = settings() | {
        "variables": {name: numeric | {"column": name} for name in columns},
        "candidates": {"pre": list(columns), "post": []},
        "models": ["clinical_pre"],
    }
    return train, fit_models(train, None, chosen, 1)["clinical_pre"]


def values(rows, measure):
    return {row[2]: row for row in rows if row[3] == measure}


def test_a_crossing_hazard_fires_the_test_and_shows_both_halves():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, 400).astype(float)
    early = rng.exponential(np.where(x == 1, 10, 40))
    time = np.where(early < 10, early, 10 + rng.exponential(np.where(x == 1, 60, 12)))
    rows = proportional_hazards("m", *reversed(clinical_only(time, np.ones(400, int), x=x)), None, 24)
    assert values(rows, "proportional_hazards_chi2")["x"][6] < 1e-6
    assert values(rows, "log_hr_early")["x"][4] > 0.5 > -0.5 > values(rows, "log_hr_late")["x"][4]


@pytest.mark.parametrize(("horizon", "until"), [(24, 18), (12, 12)])
def test_the_restricted_mean_ends_where_the_follow_up_of_a_group_does(horizon, until):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, 400).astype(float)
    early = rng.exponential(np.where(x == 1, 10, 40))
    failure = np.where(early < 10, early, 10 + rng.exponential(np.where(x == 1, 60, 12)))
    followed = np.where(x == 1, 18, 60)
    time, event = np.minimum(failure, followed), (failure <= followed).astype(int)
    train, model = clinical_only(time, event, x=x)
    rows = {row[3]: row[4] for row in proportional_hazards("m", model, train, None, horizon)}
    assert rows["rmst_until_months"] == pytest.approx(until)
    area = []
    for group in (0, 1):  # low risk, high risk
        curve = kaplan_meier(time[x == group], event[x == group])
        steps = np.append(curve["time"][curve["time"] < until], until)
        area.append(float(curve["survival"][: len(steps) - 1] @ np.diff(steps)))
    assert rows["rmst_difference_months"] == pytest.approx(area[0] - area[1])


def test_proportional_hazards_do_not_fire():
    rng = np.random.default_rng(1)
    x = rng.normal(size=400)
    rows = proportional_hazards(
        "m", *reversed(clinical_only(rng.exponential(np.exp(-0.5 * x)), np.ones(400, int), x=x)), None, 1
    )
    assert [row[3] for row in rows] == ["proportional_hazards_chi2"] * 2 and rows[0][6] > 0.05


def test_a_curved_effect_is_found_and_a_straight_one_is_not():
    rng = np.random.default_rng(2)
    x, z = rng.normal(size=(2, 400))
    time = rng.exponential(np.exp(-(x**2) - 0.5 * z))
    rows = values(
        nonlinearity("m", *reversed(clinical_only(time, np.ones(400, int), x=x, z=z)), None), "spline_lr_chi2"
    )
    assert rows["x"][6] < 1e-6 < 0.01 < rows["z"][6]


def test_the_cutpoint_lies_within_its_bootstrap_interval():
    rng = np.random.default_rng(3)
    x = rng.normal(size=200)
    train, model = clinical_only(rng.exponential(np.exp(-x)), np.ones(200, int), x=x)
    rows = {row[3]: row[4] for row in cutpoint_spread("m", model, train, None, 1)}
    assert rows["cutpoint_lp_lower"] <= rows["cutpoint_lp"] <= rows["cutpoint_lp_upper"]


@pytest.fixture(scope="module")
def fitted():
    train, chosen = cohort(), settings()
    frozen = fit(train, chosen, 1)
    return train, chosen, frozen, second_stage_scores(train, frozen.signature, chosen, 1)


def test_a_real_signature_adds_to_the_clinical_terms(fitted):
    _, _, frozen, _ = fitted
    rows = added_value(frozen.models)
    assert [row[1] for row in rows] == ["combined_pre", "combined_post"]
    assert all(row[5] == 1 and row[6] < 1e-4 for row in rows)


def test_shuffled_twins_rarely_survive_beside_a_real_feature(fitted):
    train, chosen, _, _ = fitted
    real, shadow = (row[4] for row in shadow_features(train, chosen, 1))
    assert real >= 1
    none = train._replace(features=np.random.default_rng(4).normal(size=train.features.shape))
    unfiltered = chosen | {"stability": chosen["stability"] | {"rule": "none"}}
    noise_real, noise_shadow = (row[4] for row in shadow_features(none, unfiltered, 1))
    assert noise_real - noise_shadow < real


def test_a_centre_written_into_the_features_is_told_apart(fitted):
    train, _, _, _ = fitted
    centre = np.array(["A", "B"], object)[np.arange(len(train.patient_id)) % 2]
    shifted = train.features.copy()
    shifted[centre == "B"] *= 1.5
    assert centre_from_features(train._replace(centre=centre, features=shifted), 1)[0][4] > 0.9
    assert abs(centre_from_features(train._replace(centre=centre), 1)[0][4] - 0.5) < 0.2
    assert centre_from_features(train._replace(centre=np.full(len(centre), "A", object)), 1) == []


def test_the_planted_feature_leads_the_univariable_table(fitted):
    table = univariable_features(fitted[0])
    assert table.loc[0, "feature"] == "AP_tumour_f0" and table.loc[0, "q"] < 0.001
    assert (table["q"] >= table["p"] - 1e-15).all()


def test_the_whole_table_is_made_and_is_the_same_again(fitted):
    train, chosen, frozen, score = fitted
    table = diagnose(train, score, frozen.models, chosen, 1)
    assert {7, 8, 12, 13, 31} <= set(table["guard"])
    pd.testing.assert_frame_equal(table, diagnose(train, score, frozen.models, chosen, 1))
