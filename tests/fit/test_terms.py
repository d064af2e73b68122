"""Splines, interactions and strata of clinical terms equal R's rms and survival (tests/data/terms_values.R)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import figure
from recur.cohort.training import Training
from recur.fit.design import learn_columns, spline_knots
from recur.fit.imputation import learn_imputer
from recur.fit.models import fit_model, fit_models
from recur.fit.strata import with_strata
from recur.fit.whole import Frozen, fit, predict
from recur.predict.apply import apply_model, apply_models
from recur.predict.design import design
from recur.predict.equation import equation_table
from recur.predict.imputation import complete
from recur.predict.inputs import declared_inputs, input_fields
from recur.predict.model import linear_predictor, risk_at
from recur.predict.nomogram import model_axes, model_nomogram, nomogram_tables
from recur.predict.scorer import score_patients
from recur.predict.strata import offsets, strata_of
from recur.statistics.cox import wald_test
from recur.statistics.estimate import NotEstimable
from recur.statistics.outcome import Outcome
from recur.study.parameters import column_count
from recur.validation.survival import rank_at
from recur.vocabulary import analysis_words

DATA = Path(__file__).parents[1] / "data"
R = json.loads((DATA / "terms_values.json").read_text())
COHORT = pd.read_csv(DATA / "terms.csv")


def numeric(**changes):
    return {"kind": "numeric", "transform": "none", "label": None, "unit": "", "timing": "pre", "column": "x"} | changes


VARIABLES = {
    "age": numeric(transform="rcs", knots=4, label="Age", unit="years"),
    "afp": numeric(transform="rcs", knots=4),
    "straight": numeric(),
    "sex": numeric(kind="binary", negative="woman", positive="man", label="Sex"),
    "stage": numeric(kind="categorical", levels=["I", "II", "III"], label="Stage"),
    "grade": numeric(kind="ordinal", levels=["G1", "G2", "G3"]),
}
SETTINGS = {
    "candidates": {"pre": [], "post": [], "interactions": [], "strata": []},
    "variables": VARIABLES,
    "missing": {"fit": "conditional_means", "imputations": 5},
    "second_stage": {"screen_p": None, "selection": "none", "p_remove": None, "separated": "firth"},
    "horizons_months": [6, 12],
}


def training(binary=False, competing=False, **columns):
    frame = COHORT.assign(**columns)
    outcome = Outcome(frame["event"].to_numpy(), frame["time"].to_numpy(float))
    if binary:
        outcome = Outcome(frame["found"].to_numpy())
    if competing:
        outcome = outcome._replace(competing=frame["death"].to_numpy())
    nothing = np.zeros((len(frame), 0))
    return Training(
        frame["patient_id"].to_numpy(object),
        outcome,
        frame.drop(columns=["time", "event", "death", "found", "patient_id"]).astype(float),
        nothing,
        np.zeros((len(frame), 0, 0)),
        [],
    )


def settings_with(interactions=(), strata=(), **changes):
    candidates = SETTINGS["candidates"] | {
        "interactions": [list(pair) for pair in interactions],
        "strata": list(strata),
    }
    return SETTINGS | {"candidates": candidates} | changes


def equals(model, r):
    """Coefficients (R's intercept left out), errors and log-likelihood are R's."""
    first = len(r["coef"]) - len(model["terms"])
    assert first == int("intercept" in model)
    for key in ("coef", "se"):
        ours = [column[key] for column in model["terms"]]
        np.testing.assert_allclose(ours, r[key][first:], rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(model["loglik"], r["loglik"], rtol=1e-11)


@pytest.mark.parametrize("count", [3, 4, 5, 6, 7])
def test_knots_and_basis_are_those_of_rms(count):
    r = R["basis"]["age"][str(count)]
    knots = spline_knots(COHORT["age"].to_numpy(), count)
    np.testing.assert_allclose(knots, r["knots"], rtol=1e-14)
    variables = {"age": numeric(transform="rcs", knots=count)}
    columns = learn_columns(COHORT, ["age"], variables)
    x = design(complete(COHORT, learn_imputer(COHORT, ["age"], variables)), columns)
    np.testing.assert_allclose(x[:5], r["x"], rtol=1e-10, atol=1e-13)
    assert column_count(["age"], variables) == x.shape[1] == count - 1


@pytest.mark.parametrize("count", [3, 4, 5])
def test_knots_set_a_crowd_at_the_smallest_value_apart_and_mind_few_patients(count):
    for name, rows in (("afp", len(COHORT)), ("few", 60)):
        values = COHORT["afp"].to_numpy()[:rows]
        np.testing.assert_allclose(spline_knots(values, count), R["basis"][name][str(count)]["knots"], rtol=1e-14)


def test_few_distinct_values_are_refused_in_a_line():
    with pytest.raises(NotEstimable, match="age: 4 distinct values leave fewer than 3 knots for a spline"):
        learn_columns(pd.DataFrame({"age": [1.0, 2, 3, 4] * 10}), ["age"], VARIABLES)


def test_cox_model_with_a_spline():
    model = fit_model(training(), ["age", "stage"], None, settings_with(), 1)
    equals(model, R["spline"])
    covariance = np.array(model["covariance"])
    coef = [column["coef"] for column in model["terms"]]
    assert wald_test(coef, covariance, [0, 1, 2])["chi2"] == pytest.approx(R["spline"]["wald"], rel=1e-7)


def test_cox_model_with_an_interaction():
    model = fit_model(training(), ["age", "sex", "stage"], None, settings_with([("age", "sex")]), 1)
    equals(model, R["product"])
    names = [column["name"] for column in model["terms"]]
    assert names == ["age", "age'", "age''", "sex", "stage:II", "stage:III", "age * sex", "age' * sex", "age'' * sex"]


def test_logistic_models_with_a_spline_and_interactions():
    model = fit_model(training(binary=True), ["age", "sex", "stage"], None, settings_with([("age", "sex")]), 1)
    equals(model, R["logistic"])
    applied = apply_model(model, training().clinical[:6], None)
    np.testing.assert_allclose(applied["risk"], R["logistic"]["risk"], rtol=1e-8)
    plain = settings_with([("age", "stage")], variables=VARIABLES | {"age": numeric()})
    equals(fit_model(training(binary=True), ["age", "stage"], None, plain, 1), R["category"])


def test_frozen_model_needs_nothing_but_its_json():
    """Knots and parts of products are in it; new rows never move them."""
    train = training()
    train.clinical.loc[::7, "age"] = np.nan
    model = fit_model(train, ["age", "sex", "stage"], None, settings_with([("age", "stage")]), 1)
    again = json.loads(json.dumps(model, allow_nan=False))
    new = train.clinical.iloc[[3, 14, 200]].reset_index(drop=True)
    np.testing.assert_array_equal(
        linear_predictor(again, new, None), linear_predictor(model, train.clinical, None)[[3, 14, 200]]
    )


def test_terms_of_an_interaction_stay_as_long_as_it_does():
    rng = np.random.default_rng(2)
    noise = training(straight=rng.normal(size=len(COHORT)))
    stage = {"screen_p": None, "selection": "backward_aic", "p_remove": None, "separated": "firth"}
    plain = VARIABLES | {"age": numeric()}
    model = fit_model(
        noise, ["age", "sex", "straight"], None,
        settings_with([("age", "sex"), ("straight", "sex")], second_stage=stage, variables=plain), 1,
    )  # fmt: skip
    terms = {column["term"] for column in model["terms"]}
    assert "age * sex" in terms
    assert {"age", "sex"} <= terms
    screened = stage | {"screen_p": 1e-9, "selection": "none"}
    model = fit_model(noise, ["age", "sex"], None, settings_with([("age", "sex")], second_stage=screened), 1)
    assert not model["terms"]


def test_resamples_learn_their_own_knots():
    train = training()
    settings = settings_with(models=["clinical_pre"])
    settings["candidates"] |= {"pre": ["age", "sex"]}
    knots = [
        fit(train.rows(np.arange(start, start + 120)), settings, 1).models["clinical_pre"]["terms"][0]["knots"]
        for start in (0, 100)
    ]
    assert knots[0] != knots[1]


STRAIGHT = VARIABLES | {"age": numeric()}


def test_stratified_cox_model():
    """Coefficients, proportional hazards and the survival of every stratum are R's."""
    r, train = R["strata"], training()
    model = fit_model(with_strata(train, settings_with(strata=["grade"])), ["age", "sex", "stage"], None,
                      settings_with(strata=["grade"], variables=STRAIGHT), 1)  # fmt: skip
    equals(model, r)
    middle = {"age": train.clinical["age"].mean(), "sex": train.clinical["sex"].mean(), "stage": 0.0}
    new = pd.DataFrame([middle | {"grade": float(code)} for code in range(3)])
    # the mean of a binary variable is no level of it: its column is set by hand
    x = [middle[column["term"]] if column["level"] is None else 0.0 for column in model["terms"]]
    lp = sum(column["coef"] * (v - column["mean"]) for column, v in zip(model["terms"], x, strict=True))
    strata = strata_of(new, model["strata"]["variables"])
    for months, place in ((6, 0), (12, 1), (24, 2)):
        risk = risk_at(model, lp + offsets(model, new), months, strata=strata)
        np.testing.assert_allclose(1 - risk, [survival[place] for survival in r["survival"]], rtol=1e-9)


def test_stratified_model_with_spline_and_interaction_gives_the_risks_of_survfit():
    settings = settings_with([("age", "sex")], ["grade"])
    model = fit_model(with_strata(training(), settings), ["age", "sex", "stage"], None, settings, 1)
    equals(model, R["all"])
    applied = apply_model(model, training().clinical[:6], None)
    by_grade = np.reshape(R["all"]["risk"], (6, 3, 2))  # R gives the curve of every stratum
    own = by_grade[np.arange(6), COHORT["grade"][:6]]
    np.testing.assert_allclose(applied[["risk_6", "risk_12"]], own, rtol=1e-8)


def test_linear_predictor_of_strata_ranks_by_the_risk_at_the_first_horizon_and_is_0_on_average():
    settings = settings_with(strata=["grade"], variables=STRAIGHT)
    model = fit_model(with_strata(training(), settings), ["age", "sex"], None, settings, 1)
    applied = apply_model(model, training().clinical, None)
    assert model["strata"]["at_months"] == 6
    assert applied["lp"].rank().equals(applied["risk_6"].rank())
    assert not applied["lp"].rank().equals(applied["risk_12"].rank())
    assert applied["lp"].mean() == pytest.approx(0, abs=1e-12)
    assert model["baseline"] is None and model["cutpoint"] is not None


def test_competing_death_has_its_own_baseline_in_every_stratum():
    settings = settings_with(strata=["grade"], variables=STRAIGHT)
    train = with_strata(training(competing=True), settings)
    model = fit_model(train, ["age", "sex"], None, settings, 1)
    other = model["competing"]["terms"]
    np.testing.assert_allclose([column["coef"] for column in other], R["death"]["coef"], rtol=1e-8)
    assert [len(level["competing"]["time"]) > 0 for level in model["strata"]["levels"]] == [True] * 3
    risk = apply_model(model, train.clinical, None)["risk_12"]
    assert risk.between(0, 1).all()


def test_auc_at_a_horizon_ranks_by_the_risk_then_where_strata_cross():
    """As riskRegression's Score of the risks has it; of GBSG2 by grade the linear predictor's was 0.011 off."""
    lp, crossed = np.array([0.1, 0.2, 0.9, 0.8]), np.array([0.3, 0.5, 0.4, 0.2])
    assert rank_at({"strata": {}}, lp, crossed) is crossed and rank_at({"competing": {}}, lp, crossed) is crossed
    assert rank_at({}, lp, crossed) is lp
    assert rank_at({"strata": {}}, lp, np.full(4, np.nan)) is lp


def test_a_stratum_that_training_did_not_have_gets_no_prediction():
    settings = settings_with(strata=["grade"], variables=STRAIGHT)
    train = training()
    two = train.rows(np.flatnonzero(train.clinical["grade"] < 2))
    model = fit_model(with_strata(two, settings), ["age", "sex"], None, settings, 1)
    new = train.clinical.assign(grade=train.clinical["grade"].where(train.clinical.index > 0))
    applied = apply_model(model, new, None)
    blank = train.clinical["grade"].eq(2) | (train.clinical.index == 0)
    assert applied["lp"].isna().equals(blank) and applied["risk_6"].isna().equals(blank)
    frame = train.clinical.assign(
        patient_id=train.patient_id, cohort="test", time=train.outcome.time, event=train.outcome.event
    )
    assert len(apply_models({"clinical_pre": model}, None, frame, np.zeros((len(frame), 0)), [])) == (~blank).sum() + 1
    with pytest.raises(ValueError, match="needs the strata"):
        risk_at(model, np.zeros(3), 12)
    frozen = Frozen(None, {"clinical_pre": model})
    with pytest.raises(NotEstimable, match="a stratum of those who are predicted"):
        predict(frozen, train.clinical, train.features, [])


def test_a_stratum_without_an_event_or_a_missing_one_is_refused():
    settings = settings_with(strata=["grade"], variables=STRAIGHT)
    train = training()
    event = np.where(train.clinical["grade"] == 2, 0, train.outcome.event)
    with pytest.raises(NotEstimable, match="no event in the stratum grade = G3"):
        fit_model(
            with_strata(train._replace(outcome=train.outcome._replace(event=event)), settings),
            ["age"],
            None,
            settings,
            1,
        )
    train.clinical.loc[3, "grade"] = np.nan
    with pytest.raises(NotEstimable, match="1 patients have no stratum"):
        fit_model(with_strata(train, settings), ["age"], None, settings, 1)


def test_only_models_with_clinical_terms_are_stratified_and_resamples_keep_their_strata():
    settings = settings_with(strata=["grade"], variables=STRAIGHT, models=["signature", "clinical_pre"])
    settings["candidates"] |= {"pre": ["age"]}
    score = np.random.default_rng(1).normal(size=len(COHORT))
    models = fit_models(training(), score, settings, 1)
    assert "strata" in models["clinical_pre"] and "strata" not in models["signature"]
    train = with_strata(training(), settings)
    assert (train.rows(np.array([4, 4, 9])).strata == train.strata[[4, 4, 9]]).all()


def full_model(train=None):
    """A model with a spline, an interaction of it, a category and strata, as it is frozen."""
    settings = settings_with([("age", "sex")], ["grade"])
    settings["inputs"] = {"id": "id", "centre": "centre", "missing_values": [], "phases": []}
    model = fit_model(with_strata(train or training(), settings), ["age", "sex", "stage"], None, settings, 1)
    model["inputs"] = declared_inputs(model, settings)
    return json.loads(json.dumps(model, allow_nan=False))


def test_points_of_splines_interactions_and_strata_add_up_to_the_linear_predictor():
    model = full_model()
    table, equation = nomogram_tables({"clinical_pre": model}), model_nomogram(model)
    axes = dict(iter(table.groupby("axis", sort=False)))
    assert list(axes) == [
        "age if Sex woman", "age if Sex man", "stage:II", "stage:III", "stratum", "total", "risk_6",
    ]  # fmt: skip
    assert axes["age if Sex man"]["label"].iloc[0] == "Age, if Sex man"
    read = {"age if Sex man": 60.0, "stage:II": 0.0, "stage:III": 1.0, "stratum": "grade = G2"}
    points = [axes[axis].set_index("value")["points"][value] for axis, value in read.items()]
    new = pd.DataFrame({"age": [60.0], "sex": [1.0], "stage": [2.0], "grade": [1.0]})
    applied = apply_model(model, new, None)
    total = axes["total"]
    assert np.interp(sum(points), total["points"], total["value"].astype(float)) == pytest.approx(applied["lp"][0])
    risk = axes["risk_6"]
    assert np.interp(applied["risk_6"][0], risk["value"].astype(float), risk["points"]) == pytest.approx(
        sum(points), abs=2
    )
    assert [group["columns"] for group in equation["groups"]] == [[0, 1, 2, 3, 6, 7, 8], [4], [5], []]


def test_the_nomogram_of_strata_is_drawn_from_its_stored_tables(tmp_path):
    frozen = {"clinical_pre": full_model()}
    paths = {"nomogram": tmp_path / "nomogram.csv", "equations": tmp_path / "equations.csv"}
    nomogram_tables(frozen).to_csv(paths["nomogram"], index=False)
    equation_table(frozen).to_csv(paths["equations"], index=False)
    study = {"endpoints": {"E": {"kind": "overall_survival"}}, "analyses": {"main": {"endpoint": "E"}}}
    words = analysis_words(study, "main")
    context = {"endpoint": "E", "outcome": "survival", "said": words, "primary_horizon": 6.0, "title_note": ""}
    context["main"] = "clinical_pre"
    fig, _ = figure.draw("nomogram", {name: str(path) for name, path in paths.items()}, context | {"synthetic": False})
    said = {text.get_text() for ax in fig.axes for text in ax.texts}
    assert {"Stratum", "grade = G1", "grade = G3"} <= said


def test_two_numbers_whose_effects_depend_on_each_other_have_an_axis_for_values_of_the_other():
    variables = VARIABLES | {"age": numeric(label="Age"), "afp": numeric(transform="ln", label="ln AFP")}
    settings = settings_with([("age", "afp")], variables=variables)
    model = fit_model(training(), ["age", "afp"], None, settings, 1)
    model["inputs"] = {"variables": variables}
    axes = {axis["name"]: axis for axis in model_axes(model)}
    given = [axis["given"]["afp"] for axis in axes.values()]
    assert len(set(given)) == len(given) > 2
    assert list(axes)[0].startswith("age if AFP ")


def test_printed_equation_gives_the_risk():
    model = full_model()
    rows = equation_table({"m": model})
    part = {name: own for name, own in rows.groupby("part")}
    age, sex = 47.3, 1.0
    value = {"sex": sex, "age": age, "stage:II": 0.0, "stage:III": 1.0}
    for name in ("age'", "age''"):
        knots, cubes = (part[key].loc[part[key]["name"] == name, "value"].to_numpy() for key in ("knot", "cube"))
        value[name] = (cubes * np.maximum(age - knots, 0) ** 3).sum()
    for name, own in part["factor"].groupby("name"):
        value[name] = np.prod([value[factor] for factor in own["label"]])
    lp = sum(row.value * value[row.name] for row in part["term"].itertuples(index=False))
    lp += part["constant"]["value"].iloc[0] + part["stratum"].set_index("name")["value"]["grade = G3"]
    survival = part["survival"].set_index(["name", "label"])["value"]["12", "grade = G3"]
    new = pd.DataFrame({"age": [age], "sex": [sex], "stage": [2.0], "grade": [2.0]})
    assert 1 - survival ** np.exp(lp) == pytest.approx(apply_model(model, new, None)["risk_12"][0], rel=1e-10)


def test_a_new_patient_is_asked_for_the_stratum_and_refused_where_it_is_new():
    train = training()
    model = full_model(train.rows(np.flatnonzero(train.clinical["grade"] < 2)))
    fields = {field["term"]: field for field in input_fields(model)}
    assert list(fields) == ["age", "sex", "stage", "grade"]
    assert fields["grade"]["required"] and fields["grade"]["options"] == ["G1", "G2", "G3"]
    assert (fields["age"]["low"], fields["age"]["high"]) == (model["terms"][0]["low"], model["terms"][0]["high"])
    frame = train.clinical.iloc[:3].reset_index(drop=True).assign(grade=[0, 2, np.nan], patient_id=["a", "b", "c"])
    scored = score_patients({"m": model}, None, frame.assign(centre="A"), None)
    assert scored["risk_6"].notna().to_list() == [True, False, False]
    assert "no risk: the stratum grade = G3 was not in training, and a baseline" in scored["reason"][1]
    assert "no risk: grade is missing" in scored["reason"][2] and "nan" not in scored["warnings"].str.cat()
