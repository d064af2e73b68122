"""A binary endpoint on the same floors: outcome, fit, leakage, null, performance at a frozen cut-point."""

import json

import numpy as np
import oracle
import pandas as pd
import pytest
import yaml
from binary_study import write_study
from scipy.special import expit
from sklearn.metrics import brier_score_loss, roc_auc_score
from small import run_snakemake, small_project

from recur.cohort.analysis_set import make_analysis_set, split_sets
from recur.cohort.clinical import read_cohort
from recur.cohort.training import Training, read_training
from recur.contracts import problems_of_results
from recur.fit.coefficients import coefficient_table
from recur.fit.cutpoints import binary_cutpoint
from recur.fit.whole import fit, predict
from recur.predict.apply import apply_model
from recur.predict.inputs import declared_inputs
from recur.predict.signature import signature_scores
from recur.resampling.bootstrap import (
    bootstrap_fit,
    resample_performance,
    resample_rows,
)
from recur.resampling.nested import nested_performance, nested_predictions
from recur.statistics import binary_risks
from recur.statistics.roc import auc
from recur.study.facts import candidates_of, model_names
from recur.study.file import resolve
from recur.study.settings import analysis_settings
from recur.tables import StudyError, write_table
from recur.validation.tables import comparisons, performance
from tests.fit.test_whole import N, as_bytes, cohort, settings

STABLE_OFF = {"rule": "none", "threshold": 0.0, "min_patients": 10}


def training(seed: int = 0, signal: float = 1.5) -> Training:
    """The rows of test_fit with a binary outcome that follows the first feature."""
    train = cohort(seed)
    z = (train.features[:, 0] - 5) / 0.1
    event = np.random.default_rng([seed, 1]).random(N) < expit(signal * z)
    return train._replace(outcome=train.outcome._replace(time=None, event=event.astype(int)))


@pytest.fixture(scope="module")
def frozen():
    return fit(training(), settings(), 1)


class TestFit:
    def test_the_planted_feature_leads_the_signature_and_its_model(self, frozen):
        assert frozen.signature["features"][0]["name"] == "AP_tumour_f0"
        assert {t["name"]: t["coef"] for t in frozen.models["combined_pre"]["terms"]}["signature"] > 0.5

    def test_two_fits_are_the_same_bytes(self, frozen):
        assert as_bytes(frozen) == as_bytes(fit(training(), settings(), 1))

    def test_ranking_by_mrmr_and_forest(self):
        signature = fit(training(), settings("ji2020"), 1).signature
        assert signature["features"][0]["name"] == "AP_tumour_f0"
        assert signature["n_candidates"] <= 10

    def test_a_frozen_model_survives_json_and_gives_risks(self, frozen):
        train = training()
        model = json.loads(json.dumps(frozen.models["clinical_pre"]))
        table = apply_model(model, train.clinical, None)
        assert table["risk"].mean() == pytest.approx(train.outcome.event.mean(), abs=1e-9)
        assert "baseline" not in model and model["horizons_months"] == []
        assert set(table["group"]) == {"low", "high"}

    def test_separated_groups_are_fitted_by_firth_and_say_so(self):
        train = training()
        train = train._replace(clinical=train.clinical.assign(mvi=train.outcome.event * (np.arange(N) % 2)))
        frozen = fit(train, settings(), 1)
        assert frozen.models["clinical_post"]["likelihood"] == "Firth"
        assert frozen.models["clinical_pre"]["likelihood"] == "maximum likelihood"
        score = signature_scores(frozen.signature, train.features, train.names)
        table = coefficient_table(train, score, frozen.models, settings(), 1)
        rows = table[(table["model"] == "clinical_post") & (table["stage"] == "multivariable")].set_index("term")
        assert rows.loc["mvi", "method"] == "Firth; profile penalised likelihood"
        assert 1 < rows.loc["mvi", "lower"] < rows.loc["mvi", "or"] < rows.loc["mvi", "upper"]

    def test_or_by_a_declared_ridge_penalty_which_the_model_states(self):
        train = training()
        train = train._replace(clinical=train.clinical.assign(mvi=train.outcome.event * (np.arange(N) % 2)))
        chosen = settings()
        chosen["second_stage"]["separated"] = "ridge"
        frozen = fit(train, chosen, 1)
        model = json.loads(json.dumps(frozen.models["clinical_post"]))
        assert (model["likelihood"], model["prior_variance_per_sd"]) == ("ridge", 0.5)
        assert frozen.models["clinical_pre"]["prior_variance_per_sd"] is None
        assert apply_model(model, train.clinical, None)["risk"].mean() == pytest.approx(
            train.outcome.event.mean(), abs=1e-9
        )
        score = signature_scores(frozen.signature, train.features, train.names)
        table = coefficient_table(train, score, frozen.models, chosen, 1)
        row = table[(table["model"] == "clinical_post") & (table["term"] == "mvi")].iloc[0]
        assert row["method"] == "ridge; profile penalised likelihood"
        assert 1 < row["lower"] < row["or"] < row["upper"]


class TestCutpoint:
    LP, EVENT = np.array([1.0, 2, 3, 4, 5, 6]), np.array([0, 0, 1, 0, 1, 1])

    def test_youden(self):
        assert binary_cutpoint(self.LP, self.EVENT, None)["lp"] == 2.5

    def test_a_sensitivity_that_was_asked_for(self):
        assert binary_cutpoint(self.LP, self.EVENT, 0.6)["lp"] == 4.5
        assert binary_cutpoint(self.LP, self.EVENT, 0.9)["lp"] == 2.5

    def test_none_without_spread(self):
        assert binary_cutpoint(np.zeros(6), self.EVENT, None) is None


class TestHeldOutRows:
    """Changing anything held out changes no byte of what a fit reads, nor of a frozen model."""

    def sets(self, change: bool):
        train = training()
        held = np.arange(N) >= 90
        assigned = pd.Series(np.where(held, "test", "train"), index=train.patient_id)
        clinical = train.clinical.assign(patient_id=train.patient_id, centre="A")
        clinical.loc[held, "afp"] += 7.0 * change
        event = np.where(held & change, 1 - train.outcome.event, train.outcome.event)
        ends = pd.DataFrame({"patient_id": train.patient_id, "E_event": event})
        features = pd.DataFrame(train.features + 3.0 * change * held[:, None], columns=train.names)
        features.insert(0, "patient_id", train.patient_id)
        return split_sets(*make_analysis_set(assigned, clinical, ends, "E", features))

    def test_no_byte_of_a_frozen_model_depends_on_them(self, tmp_path):
        found = []
        for name, change in (("a", False), ("b", True)):
            sets = self.sets(change)
            paths = [tmp_path / f"{name}.csv", tmp_path / f"{name}.parquet", tmp_path / f"{name}-again.parquet"]
            write_table(sets["train"][0], paths[0])
            write_table(sets["train"][1], paths[1])
            write_table(sets["train"][1].iloc[:0].assign(reader="reader2"), paths[2])
            train = read_training(*paths)
            assert train.outcome.time is None
            found.append((paths[0].read_bytes(), as_bytes(fit(train, settings(), 1)._asdict())))
        assert found[0] == found[1]

    def test_too_few_of_one_class_stop(self):
        train = training()
        clinical = train.clinical.assign(patient_id=train.patient_id, centre="A")
        ends = pd.DataFrame({"patient_id": train.patient_id, "E_event": (np.arange(N) < 5).astype(int)})
        assigned = pd.Series("train", index=train.patient_id)
        with pytest.raises(StudyError, match="5 of level 1"):
            split_sets(*make_analysis_set(assigned, clinical, ends, "E", None))


def test_permuted_outcomes_give_a_nested_auc_of_one_half_though_the_apparent_one_is_high():
    nested, out, apparent = [], [], []
    chosen = settings() | {"stability": STABLE_OFF, "models": ["signature", "combined_pre"]}
    for seed in range(8):
        train = training(seed)
        train = train._replace(
            outcome=train.outcome._replace(event=np.random.default_rng(seed + 50).permutation(train.outcome.event))
        )
        table = nested_performance(nested_predictions(train, chosen, seed, 0, 4), seed).set_index("model")
        nested.append(table.loc["combined_pre", "estimate"])
        row = next(r for r in bootstrap_fit(train, chosen, seed, 0) if r["model"] == "combined_pre")
        out.append(row["c_out_of_bag"])
        apparent.append(row["c_resample"])
    assert np.mean(apparent) > 0.6
    assert abs(np.mean(nested) - 0.5) < 0.05
    assert abs(np.mean(out) - 0.5) < 0.06


@pytest.fixture(scope="module")
def risks():
    rng = np.random.default_rng(2)
    lp = rng.normal(size=300)
    event = (rng.random(300) < expit(0.8 * lp - 0.5)).astype(int)
    return pd.DataFrame(
        {"model": "clinical_pre", "patient_id": [f"p{i}" for i in range(300)], "cohort": "test", "event": event}
        | {"lp": lp, "risk": expit(lp), "group": np.where(lp > 0.2, "high", "low")}
    )


class TestPerformance:
    def test_against_scikit_learn_and_counts(self, risks):
        table = performance(risks, dict.fromkeys(risks["model"], {}), 1).set_index("metric")
        event, risk = risks["event"], risks["risk"]
        value = table["estimate"]
        assert value["auc"] == pytest.approx(roc_auc_score(event, risk), abs=1e-12)
        assert value["brier"] == pytest.approx(brier_score_loss(event, risk), abs=1e-12)
        assert value["oe_ratio"] == pytest.approx(event.sum() / risk.sum(), abs=1e-12)
        high = risks["group"] == "high"
        assert value["sensitivity"] == pytest.approx((high & (event == 1)).sum() / event.sum())
        assert value["npv"] == pytest.approx((~high & (event == 0)).sum() / (~high).sum())
        assert table.loc["calibration_slope", "lower"] < 0.8 < table.loc["calibration_slope", "upper"]
        assert ((table["lower"] <= value) & (value <= table["upper"]) | table["lower"].isna()).all()

    def test_the_interval_of_ipa_is_that_of_a_bootstrap(self, risks):
        event, risk = risks["event"].to_numpy(), risks["risk"].to_numpy()
        rng, drawn = np.random.default_rng(1), []
        for _ in range(1000):
            at = rng.integers(0, 300, 300)
            drawn.append(binary_risks.ipa(event[at], risk[at])["estimate"])
        assert binary_risks.ipa(event, risk)["se"] == pytest.approx(np.std(drawn), rel=0.1)

    def test_net_benefit_at_one_threshold_by_hand(self):
        event, risk = np.array([1, 0, 1, 0]), np.array([0.9, 0.6, 0.3, 0.1])
        gain, everybody = binary_risks.net_benefits(event, risk, np.array([0.5, 0.2]))
        np.testing.assert_allclose(gain, [1 / 4 - 1 / 4, 2 / 4 - 0.25 * 1 / 4])
        np.testing.assert_allclose(everybody, [0.5 - 0.5, 0.5 - 0.25 * 0.5])

    def test_a_model_without_spread_says_why_it_has_no_estimate(self, risks):
        table = performance(
            risks.assign(risk=0.4, lp=0.0, group="all"), dict.fromkeys(risks["model"], {}), 1
        ).set_index("metric")
        assert table.loc["calibration_slope", "method"] == "not estimated: all predicted risks are equal"
        assert table.loc["sensitivity", "method"] == "not estimated: the model has no cut-point"

    def test_training_rows_are_compared_without_a_p_value(self, risks):
        both = pd.concat([risks, risks.assign(model="combined_pre", risk=risks["risk"] ** 2)])
        table = comparisons(pd.concat([both, both.assign(cohort="train")]), pd.DataFrame(), 1).set_index("cohort")
        assert np.isnan(table.loc["train-apparent", "p"])


@pytest.mark.reference
def test_calibration_and_brier_of_r():
    """aSAH, glm(poor ~ age + female + wfns): fitted risks have slope 1 and intercept 0; Brier and DeLong from R."""
    values = oracle.items("asah", "logistic")["glm/multi/clin"]["values"]
    event, risk = oracle.table("asah")["poor"].to_numpy(), np.array(values["fitted"])
    assert binary_risks.calibration_slope(event, risk)["estimate"] == pytest.approx(1, abs=1e-6)
    assert binary_risks.calibration_intercept(event, risk)["estimate"] == pytest.approx(0, abs=1e-6)
    assert binary_risks.brier(event, risk)["estimate"] == pytest.approx(values["brier"], rel=1e-6)
    found = auc(event, risk)
    np.testing.assert_allclose([found["estimate"], found["lower"], found["upper"]],
                               [values["auc"], values["auc_lower95"], values["auc_upper95"]], rtol=1e-6)  # fmt: skip


class TestStudyFile:
    @pytest.fixture
    def study(self, tmp_path):
        return write_study(tmp_path, (40, 30))

    def test_the_endpoints_own_column_is_no_candidate(self, study):
        resolved = resolve(study)
        assert candidates_of(resolved, "mvi")["post"] == []
        assert candidates_of(resolved, "published")["post"] == ["mvi"]
        assert "mvi" not in analysis_settings(resolved, "mvi")["variables"]
        assert analysis_settings(resolved, "mvi")["own_variables"] == ["mvi"]
        assert "mvi" in analysis_settings(resolved, "published")["variables"]
        assert model_names(resolved, "mvi") == ["signature", "clinical_pre", "combined_pre"]

    def test_a_frozen_model_knows_the_ids_and_codes_of_the_feature_table(self, study):
        own = yaml.safe_load(study.read_text())
        own["features"] |= {"id": "Case", "missing_values": ["-999"]}
        study.write_text(yaml.safe_dump(own))
        inputs = analysis_settings(resolve(study), "mvi")["inputs"]
        model = {"terms": [], "imputer": {"terms": []}}
        kept = declared_inputs(model, {"inputs": inputs, "variables": {}})
        assert kept["feature_id"] == "Case" and kept["feature_missing_values"] == ["-999"]

    def test_outcomes_are_read_and_the_censored_left_out_with_their_reason(self, study):
        found = read_cohort(resolve(study))
        table = found.endpoints
        assert set(table["MVI_event"].dropna()) == {0.0, 1.0}
        assert "MVI_time" not in table
        early = table.loc[table["early24_event"].notna()]
        assert (early["early24_event"] == (early["early_state"] == 1)).all()
        gone = found.missing_endpoints[found.missing_endpoints["endpoint"] == "early24"]
        assert len(gone) == table["early24_event"].isna().sum() > 0
        assert gone["reason"].str.startswith("censored before 24 months").all()

    @pytest.mark.parametrize(("old", "new", "message"), [
        ("preset: ji2020", "preset: recommended", "conditions on the future"),
        ("of: early", "of: nothing", "no endpoint with a time"),
        ("    column: mvi\n    label: Micro", "    label: Micro", "exactly one of column and of"),
        ("kind: binary\n    column", "kind: ordinal\n    column", "needs levels"),
    ])  # fmt: skip
    def test_contradictions_are_named(self, study, old, new, message):
        text = study.read_text()
        assert old in text
        study.write_text(
            text.replace(old, new, 1) if old != "of: early" else text.replace("of: early\n", "of: nothing\n")
        )
        with pytest.raises(StudyError, match=message):
            resolve(study)

    def test_a_cell_that_is_no_level_stops_and_an_empty_one_is_unknown(self, study):
        clinical = pd.read_csv(study.parent / "clinical.csv", dtype=str)
        clinical.loc[26, "mvi"] = None
        clinical.to_csv(study.parent / "clinical.csv", index=False)
        clinical.assign(mvi=clinical["mvi"].where(clinical.index != 25, "perhaps")).to_csv(
            study.parent / "other.csv", index=False
        )
        resolved = resolve(study)
        other = resolved | {"clinical": resolved["clinical"] | {"table": str(study.parent / "other.csv")}}
        with pytest.raises(StudyError, match=r"endpoint MVI: column mvi holds .*'perhaps' \(1\), beyond the declared"):
            read_cohort(other)
        cohort = read_cohort(resolved)
        missing = cohort.missing_endpoints.set_index(["patient_id", "endpoint"])["reason"]
        assert missing[clinical["patient_id"][26], "MVI"] == "outcome unknown"


def test_predictions_need_nothing_but_the_frozen_json(frozen):
    train = training()
    lp = predict(frozen, train.clinical, train.features, train.names)["combined_pre"]
    assert roc_auc_score(train.outcome.event, lp) > 0.8


@pytest.fixture(scope="module")
def runs():
    train, chosen = training(signal=0.4), settings() | {"models": ["combined_pre"]}
    return train, chosen, [row for number in range(8) for row in bootstrap_fit(train, chosen, 1, number)]


class TestResamples:
    """Error and calibration of the risks out of bag and less the optimism, beside the AUC."""

    def test_the_rows_left_out_are_scored_by_the_resamples_own_model(self, runs):
        train, chosen, rows = runs
        drawn = resample_rows(train, 1, 0)
        model = fit(train.rows(drawn), chosen, 1)
        out = np.setdiff1d(np.arange(N), drawn)
        lp = predict(model, train.clinical.iloc[out], train.features[out], train.names)["combined_pre"]
        risk = expit(model.models["combined_pre"]["intercept"] + lp)
        expected = brier_score_loss(train.outcome.event[out], risk)
        assert rows[0]["brier_out_of_bag"] == pytest.approx(expected, abs=1e-12)

    def test_overfitting_shows_in_error_and_slope(self, runs):
        measured = pd.DataFrame(
            [{"model": "combined_pre", "metric": metric, "estimate": value, "n": N, "events": 50}
             for metric, value in {"auc": 0.8, "brier": 0.2, "ipa": 0.2, "calibration_slope": 1.0,
                                   "calibration_intercept": 0.0, "oe_ratio": 1.0}.items()]
        )  # fmt: skip
        table = resample_performance(pd.DataFrame(runs[2] * 20), measured, "auc").set_index(["cohort", "metric"])
        value = table["estimate"]
        assert set(table.index.get_level_values("metric")) == set(measured["metric"])
        for place in ("train-oob", "train-optimism_corrected"):
            assert value[place, "auc"] < 0.8 and value[place, "brier"] > 0.2
        assert value["train-optimism_corrected", "calibration_slope"] < 1
        assert np.isnan(table.loc[("train-optimism_corrected", "calibration_slope"), "lower"])
        assert table.loc[("train-oob", "brier"), "lower"] < value["train-oob", "brier"]


def test_a_study_of_one_binary_endpoint_and_no_held_out_patient_runs_to_its_report(tmp_path):
    """As studies/sts.yaml, with ready features: no survival table, no held-out cohort, no comparison with limits."""
    project = small_project(tmp_path / "project")
    (project / "data").mkdir()
    path = write_study(project / "data", (60, 1))
    study = yaml.safe_load(path.read_text())
    del study["split"], study["analyses"]["published"], study["endpoints"]["early"], study["endpoints"]["early24"]
    study["analyses"]["mvi"]["ablations"] = False
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    result = run_snakemake(project, "--config", "study=data/binary.yaml")
    assert result.returncode == 0
    results = project / "results/binary"
    assert problems_of_results(results) == []
    performance = pd.read_csv(results / "validation/performance.csv")
    assert "auc" in set(performance.loc[performance["cohort"] == "train-nested_cv", "metric"])
    assert pd.read_csv(results / "validation/consistency.csv")["failed"].fillna(0).eq(0).all()
    assert (results / "report/report.html").exists() and not (results / "survival").exists()
