"""No risk is said of a time that hardly any training patient reached: model, scorer, card, calculator, nomogram."""

import frozen
import numpy as np
import pandas as pd
import pytest

from recur.fit.models import fit_models
from recur.fit.support import supported_until, with_support
from recur.predict.apply import apply_model
from recur.predict.equation import equation_table
from recur.predict.inputs import declared_inputs
from recur.predict.nomogram import nomogram_tables
from recur.predict.scorer import patient_warnings
from recur.predict.support import why_no_risk
from recur.report.calculator import calculator_entry
from recur.report.model_card import model_blocks
from recur.vocabulary import study_words


@pytest.fixture(scope="module")
def model():
    """Of 160 patients 6 are followed to the second horizon; a third lies beyond everybody."""
    settings = frozen.settings(names=("clinical_pre",))
    train = frozen.training()._replace(names=[], features=np.zeros((frozen.N, 0)), repeats=np.zeros((frozen.N, 0, 0)))
    months = float(np.sort(train.outcome.time)[-6].round(1))
    settings["horizons_months"] = [24, months, 200]
    fitted = fit_models(train, None, settings, 1)["clinical_pre"]
    found = {"analysis": "stepwise", "endpoint": "TTR"} | with_support(fitted, train)
    return found | {"inputs": declared_inputs(found, settings)}


def test_the_last_time_at_which_ten_are_followed():
    assert supported_until(np.arange(1.0, 21.0)) == 11.0
    assert supported_until(np.arange(1.0, 10.0)) == 0.0


def test_a_frozen_model_predicts_where_training_supports_it_and_nowhere_else(model):
    few = model["horizons_months"][1]
    applied = apply_model(model, frozen.training().clinical, None)
    assert (
        applied["risk_24"].notna().all() and applied[f"risk_{few:g}"].isna().all() and applied["risk_200"].isna().all()
    )
    assert why_no_risk(model, few).startswith("fewer than 10 training patients were followed so long")
    assert why_no_risk(model, 200).startswith("training follow-up ends at")


def test_every_reader_of_the_model_says_the_same(model):
    few = model["horizons_months"][1]
    frame = frozen.training().clinical
    lp = apply_model(model, frame, None)["lp"].to_numpy()
    assert f"no risk at {few:g} months: fewer than 10" in "; ".join(patient_warnings(model, frame, None, lp)[0])
    models = {"clinical_pre": model}
    equation = equation_table(models)
    assert equation.loc[equation["part"] == "survival", "name"].tolist() == ["24"]
    assert {axis for axis in nomogram_tables(models)["axis"] if axis.startswith("risk")} == {"risk_24"}
    card = str(model_blocks(study_words(frozen.study()), "clinical_pre", model))
    assert f"no risk at {few:g} months (fewer than 10 training patients" in card and "S0(24 months) = " in card
    performance = pd.DataFrame(columns=["analysis", "model", "cohort", "metric", "n", "events"])
    entry = calculator_entry(frozen.study(), "stepwise", "clinical_pre", model, performance)
    assert list(entry["no_risk"]) == [f"{few:g}", "200"] and entry["last_month"] < few


def test_a_stratum_with_few_patients_has_no_late_risk():
    level = {"stratum": "a", "follow_up_months": 50.0, "supported_months": supported_until(np.arange(9.0))}
    assert why_no_risk(level, 6) == "fewer than 10 training patients were followed so long"
