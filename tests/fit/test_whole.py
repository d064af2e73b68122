"""Nothing held out can reach a fit, and the rules' pieces are the one function `fit`."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from recur.cohort.analysis_set import make_analysis_set, split_sets
from recur.cohort.training import Training, read_training
from recur.fit.models import fit_models
from recur.fit.signature import build_signature, second_stage_scores
from recur.fit.stability import stability, usable_columns
from recur.fit.whole import fit, predict
from recur.predict.model import linear_predictor, risk_at, risk_group
from recur.predict.signature import signature_scores
from recur.sources import ROOT
from recur.statistics.outcome import Outcome
from recur.tables import StudyError, write_table

N, P, TWICE = 120, 30, 40
BINARY = {"kind": "binary", "timing": "pre", "unit": "", "transform": "none", "positive": "1", "negative": "0"}
VARIABLES = {
    "afp": {"column": "afp", "kind": "numeric", "timing": "pre", "unit": "ng/mL", "transform": "ln", "label": "ln AFP"},
    "margin": BINARY | {"column": "margin", "label": "Margin"},
    "mvi": BINARY | {"column": "mvi", "label": "MVI", "timing": "post"},
}


def settings(preset="recommended"):
    chosen = yaml.safe_load((ROOT / "presets" / f"{preset}.yaml").read_text())
    if preset == "ji2020":
        chosen["ranking"] |= {"trees": 40, "keep": 5}
    return chosen | {
        "variables": VARIABLES,
        "candidates": {"pre": ["afp", "margin"], "post": ["mvi"]},
        "horizons_months": [24],
        "own_variables": [],
        "models": ["signature", "clinical_pre", "combined_pre", "clinical_post", "combined_post"],
    }


def cohort(seed=0, signal=1.2, n=N):
    """Training rows whose first feature carries the hazard; feature 2 is read so badly that no reader agrees."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, P)) * np.geomspace(0.1, 100, P) + 5
    z = (features[:, 0] - 5) / 0.1
    repeats = np.full((n, 1, P), np.nan)
    repeats[:TWICE, 0] = features[:TWICE] + 0.02 * np.geomspace(0.1, 100, P) * rng.normal(size=(TWICE, P))
    repeats[:TWICE, 0, 2] = rng.normal(size=TWICE)
    clinical = pd.DataFrame(
        {"afp": np.exp(rng.normal(3, 1, n)), "margin": rng.integers(0, 2, n), "mvi": rng.integers(0, 2, n)}
    ).astype(float)
    clinical.loc[3, "afp"] = np.nan
    time = 30 * rng.exponential(np.exp(-signal * z - 0.5 * clinical["margin"].to_numpy()))
    limit = rng.uniform(6, 80, n)
    ids = np.array([f"p{i:03d}" for i in range(n)], object)
    names = [f"AP_tumour_f{j}" for j in range(P)]
    return Training(
        ids, Outcome((time <= limit).astype(int), np.minimum(time, limit)), clinical, features, repeats, names
    )


def as_bytes(value):
    return json.dumps(value, sort_keys=True).encode()


@pytest.mark.parametrize("preset", ["recommended", "ji2020"])
def test_the_rules_pieces_give_the_bytes_of_fit(preset):
    train, chosen = cohort(), settings(preset)
    whole = fit(train, chosen, seed=1)
    icc = stability(train, chosen["stability"])
    signature, _ = build_signature(train, icc, chosen, 1)
    models = fit_models(train, second_stage_scores(train, signature, chosen, 1), chosen, 1)
    assert as_bytes(signature) == as_bytes(whole.signature)
    assert as_bytes(models) == as_bytes(whole.models)


def test_the_planted_feature_is_found_and_the_unstable_one_never():
    train = cohort()
    icc = stability(train, settings()["stability"]).set_index("feature")
    assert not icc.loc["AP_tumour_f2", "stable"]
    assert 2 not in usable_columns(train, icc.reset_index())
    assert fit(train, settings(), 1).signature["features"][0]["name"] == "AP_tumour_f0"


def test_a_wild_feature_value_counts_as_three_sd():
    signature = {
        "winsorise_sd": 3,
        "harmonisation": {"kind": "none"},
        "features": [{"name": "f", "weight": 0.5, "mean": 10.0, "sd": 2.0}],
    }
    np.testing.assert_allclose(signature_scores(signature, np.array([[12.0], [1e9], [-1e9]]), ["f"]), [0.5, 1.5, -1.5])


def test_two_fits_are_the_same_bytes():
    assert as_bytes(fit(cohort(), settings(), 1)) == as_bytes(fit(cohort(), settings(), 1))


def test_an_empty_signature_is_legal_and_says_nothing():
    train = cohort()
    chosen = settings()
    chosen["stability"] = {"rule": "point", "threshold": 1.0, "min_patients": 10}
    frozen = fit(train, chosen, 1)
    assert frozen.signature["features"] == []
    assert frozen.models["signature"]["terms"] == []
    assert np.ptp(predict(frozen, train.clinical, train.features, train.names)["signature"]) == 0
    assert [t["name"] for t in frozen.models["combined_pre"]["terms"]] == ["afp", "margin"]


def test_the_stepwise_preset_keeps_fewer_terms_than_the_declared_ones():
    models = fit(cohort(signal=1.5), settings("ji2020"), 1).models
    declared = {"afp", "margin", "mvi", "signature"}
    assert {term["name"] for term in models["combined_post"]["terms"]} < declared


def test_a_frozen_model_survives_json_and_predicts_the_same():
    train = cohort()
    frozen = fit(train, settings(), 1)
    model = frozen.models["clinical_pre"]
    again = json.loads(json.dumps(model))
    lp = linear_predictor(model, train.clinical, None)
    np.testing.assert_array_equal(lp, linear_predictor(again, train.clinical, None))
    assert lp.mean() == pytest.approx(0, abs=1e-12)
    risk = risk_at(again, lp, 24)
    assert ((risk > 0) & (risk < 1)).all()
    assert (np.argsort(risk) == np.argsort(lp)).all()


def test_the_cutpoint_is_frozen_from_training_rows():
    frozen = fit(cohort(), settings(), 1)
    model = frozen.models["combined_pre"]
    assert model["cutpoint"]["p_corrected"] < 0.05
    groups = risk_group(model, np.array([model["cutpoint"]["lp"], model["cutpoint"]["lp"] + 1e-9]))
    assert list(groups) == ["low", "high"]


class TestHeldOutRows:
    """Changing anything held out changes no byte of what a fit reads."""

    def tables(self, shift=0.0):
        train = cohort()
        clinical = train.clinical.assign(patient_id=train.patient_id, centre="A")
        assigned = pd.Series(np.where(np.arange(N) < 90, "train", "test"), index=train.patient_id)
        held = (assigned == "test").to_numpy()
        clinical.loc[held, "afp"] += shift
        ends = pd.DataFrame(
            {
                "patient_id": train.patient_id,
                "E_time": train.outcome.time + shift * held,
                "E_event": train.outcome.event,
            }
        )
        features = pd.DataFrame(train.features + shift * held[:, None], columns=train.names)
        features.insert(0, "patient_id", train.patient_id)
        return split_sets(*make_analysis_set(assigned, clinical, ends, "E", features))

    def test_training_files_do_not_see_them(self, tmp_path):
        for name, sets in (("a", self.tables()), ("b", self.tables(shift=7.0))):
            (tmp_path / name).mkdir()
            write_table(sets["train"][0], tmp_path / name / "train.csv")
            write_table(sets["train"][1], tmp_path / name / "train.parquet")
            write_table(sets["heldout"][0], tmp_path / name / "heldout.csv")
        for file in ("train.csv", "train.parquet"):
            assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
        assert (tmp_path / "a" / "heldout.csv").read_bytes() != (tmp_path / "b" / "heldout.csv").read_bytes()

    def test_no_byte_of_a_frozen_model_depends_on_them(self, tmp_path):
        """Other outcomes, features and clinical cells of held-out patients, missing ones too: the same models."""
        frozen = []
        for name, sets in (("a", self.tables()), ("b", self.tables(shift=7.0))):
            paths = [tmp_path / f"{name}.csv", tmp_path / f"{name}.parquet", tmp_path / f"{name}-repeats.parquet"]
            write_table(sets["train"][0], paths[0])
            write_table(sets["train"][1], paths[1])
            write_table(sets["train"][1].iloc[:40].assign(reader="reader2"), paths[2])
            frozen.append(as_bytes(fit(read_training(*paths), settings(), 1)._asdict()))
        assert frozen[0] == frozen[1]

    def test_a_training_file_with_a_heldout_patient_is_refused(self, tmp_path):
        frame, values = self.tables()["train"]
        write_table(frame.assign(cohort=["test", *frame["cohort"][1:]]), tmp_path / "t.csv")
        write_table(values, tmp_path / "t.parquet")
        write_table(values.iloc[:0].assign(reader="reader2"), tmp_path / "r.parquet")
        with pytest.raises(StudyError, match="held-out patients among the training rows"):
            read_training(tmp_path / "t.csv", tmp_path / "t.parquet", tmp_path / "r.parquet")

    def test_a_repeat_reading_of_a_heldout_patient_is_refused(self, tmp_path):
        sets = self.tables()
        write_table(sets["train"][0], tmp_path / "t.csv")
        write_table(sets["train"][1], tmp_path / "t.parquet")
        write_table(sets["heldout"][1].assign(reader="reader2"), tmp_path / "r.parquet")
        with pytest.raises(StudyError, match="held-out patients"):
            read_training(tmp_path / "t.csv", tmp_path / "t.parquet", tmp_path / "r.parquet")


@pytest.mark.parametrize("binary", [False, True])
def test_terms_are_selected_by_the_rule_of_the_study_file(binary):
    """A signature that matters stays under any rule; by p, the limit decides how much noise stays beside it."""
    train = cohort(n=200)
    train = train._replace(outcome=train.outcome._replace(time=None)) if binary else train
    kept = {}
    for p_remove in (0.999, 1e-3):
        chosen = settings()
        chosen["second_stage"] |= {"selection": "backward_p", "p_remove": p_remove, "separated": "ridge"}
        frozen = fit(train, chosen, 1)
        kept[p_remove] = {column["term"] for column in frozen.models["combined_post"]["terms"]}
    assert kept[0.999] == {"signature", "afp", "margin", "mvi"}
    assert "signature" in kept[1e-3] < kept[0.999]
