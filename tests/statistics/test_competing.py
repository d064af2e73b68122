"""Competing risks: equal to survfit, cmprsk, CSC, Score and pec::cindex; and by counting where nobody is censored."""

import numpy as np
import oracle
import pandas as pd
import pytest
import yaml

from recur.cohort.analysis_set import make_analysis_set
from recur.cohort.training import Training
from recur.fit.models import fit_models
from recur.predict.apply import apply_models
from recur.predict.model import risk_at
from recur.sources import ROOT
from recur.statistics import calibration, competing, cox, estimate
from recur.statistics.brier import brier_at, brier_null, ibs, ipa
from recur.statistics.concordance import harrell_c, uno_c
from recur.statistics.nested_concordance import NESTED_COLUMNS
from recur.statistics.net_benefit import net_benefit
from recur.statistics.outcome import outcome_of
from recur.statistics.time_roc import auc_at
from recur.validation.survival import survival_tables, time_curves
from recur.validation.tables import comparisons, performance

TERMS = ["age", "male", "hgb", "mspike"]
# pec::cindex(list(risk of CSC), Hist(etime, event) ~ 1, cens.model = "marginal", eval.times, cause = 1) on mgus2
PEC_CINDEX = {60: 0.677258620708763, 120: 0.661730572233611}


def exact(ours, r, tolerance=1e-9):
    assert oracle.worst(ours, r) < tolerance


def sample(n=400, seed=0, censored=True):
    """Two causes with constant hazards exp(z) and 0.5; time, event, competing, z, true risk at 1."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    total = np.exp(z) + 0.5
    failure, first = rng.exponential(size=n) / total, rng.random(n) < np.exp(z) / total
    limit = rng.uniform(0.5, 4, n) if censored else np.full(n, np.inf)
    seen = failure <= limit
    risk = np.exp(z) / total * (1 - np.exp(-total))
    return np.minimum(failure, limit), seen & first, seen & ~first, z, risk


@pytest.fixture(scope="module")
def mgus2():
    data = oracle.table("mgus2")
    complete = data.dropna(subset=TERMS)
    x = complete[TERMS].to_numpy(float)
    return data, complete, x, {k: v["values"] for k, v in oracle.items("mgus2", "competing").items()}


def cause_specific(x, data, new, horizons):
    hazards, lps, centre = [], [], x.mean(axis=0)
    for cause in (1, 2):
        event = (data["event"] == cause).to_numpy()
        fitted = cox.fit_cox(x - centre, data["etime"], event)
        times, survival = cox.baseline_survival(x - centre, data["etime"], event, fitted["coef"])
        hazards.append((times, -np.log(survival)))
        lps.append((np.asarray(new) - centre) @ fitted["coef"])
    return competing.cause_specific_incidence(*hazards, *lps, horizons)


@pytest.mark.reference
class TestEqualToR:
    @pytest.mark.parametrize("group", ["overall", "male=0", "male=1"])
    def test_aalen_johansen_is_survfits(self, mgus2, group):
        data, _, _, r = mgus2
        expected = r[f"cif/{group}"]
        part = data if group == "overall" else data[data["male"] == int(group[-1])]
        for code, cause in ((1, "pcm"), (2, "death")):
            outcome = part["etime"], part["event"] == code, part["event"] == 3 - code
            table, values = competing.cumulative_incidence(*outcome), expected[cause]
            at = table.iloc[np.searchsorted(table["time"], expected["times"], side="right") - 1]
            exact(at["incidence"], values["cif"])
            exact(at["se"], values["se_survfit"])
            if cause == "pcm":
                exact(at["lower"], values["lower_loglog"])
                exact(at["upper"], values["upper_loglog"])
            rates = competing.incidence_rates(*outcome, expected["times"])
            exact(rates["survival"], 1 - np.array(values["cif"]))
            exact(rates["n_risk"], expected["n_risk"])

    @pytest.mark.parametrize("cause", [1, 2])
    def test_fine_gray_is_crrs(self, mgus2, cause):
        _, data, x, r = mgus2
        expected = r[f"finegray/cause{cause}"]
        ours = competing.fit_fine_gray(x, data["etime"], data["event"] == cause, data["event"] == 3 - cause)
        exact(ours["coef"], expected["coef"])
        exact(ours["covariance"], expected["var"])
        exact([ours["loglik"], ours["loglik_null"]], [expected["loglik"], expected["loglik_null"]])
        profiles = expected["predict_profiles"]
        for horizon, cif in zip(profiles["times"], profiles["cif"], strict=True):
            exact(competing.predict_fine_gray(ours, profiles["x"], horizon)[0], cif)

    def test_cause_specific_prediction_is_cscs(self, mgus2):
        _, data, x, r = mgus2
        expected = r["csc_predict/cause1"]
        exact(cause_specific(x, data, expected["profiles"], expected["times"]), expected["cif"])

    def test_auc_and_brier_are_scores(self, mgus2):
        _, data, x, r = mgus2
        time, event, other = data["etime"], data["event"] == 1, data["event"] == 2
        fitted = competing.fit_fine_gray(x, time, event, other)
        for metric, name, function in (("auc", "AUC", auc_at), ("brier", "Brier", brier_at)):
            values = r["score_competing/cause1"][metric]
            for k, (model, horizon) in enumerate(zip(values["model"], values["times"], strict=True)):
                if model == "Null model":
                    ours = brier_null(time, event, horizon, other)
                else:
                    both = {
                        "CSC": cause_specific(x, data, x, [horizon])[:, 0],
                        "FG": competing.predict_fine_gray(fitted, x, horizon)[0],
                    }
                    ours = function(time, event, both[model], horizon, other)
                keys = {"estimate": name, "se": "se", "lower": "lower", "upper": "upper"}
                exact([ours[a] for a in keys], [values[b][k] for b in keys.values()], 1e-8)

    def test_concordance_is_pecs(self, mgus2):
        _, data, x, _ = mgus2
        for horizon, expected in PEC_CINDEX.items():
            risk = cause_specific(x, data, x, [horizon])[:, 0]
            ours, _ = competing.c_competing(data["etime"], data["event"] == 1, data["event"] == 2, risk, horizon)
            assert ours["estimate"] == pytest.approx(expected, rel=1e-9)


def test_without_competing_events_everything_is_the_ordinary_method():
    time, event, other, z, _ = sample()
    none, event = np.zeros(len(time)), event | other
    risk = 1 - np.exp(-np.exp(z))
    assert competing.incidence_at(time, event, none, 1) == pytest.approx(1 - _km(time, event, 1), rel=1e-12)
    assert auc_at(time, event, z, 1, none) == auc_at(time, event, z, 1)
    assert brier_at(time, event, risk, 1, none) == brier_at(time, event, risk, 1)
    assert ibs(time, event, None, 1, none)["estimate"] == pytest.approx(ibs(time, event, None, 1)["estimate"])
    fine_gray = competing.fit_fine_gray(z, time, event, none)
    # no two times are tied: Fine and Gray's ties are Breslow's, the Cox model's Efron's
    assert fine_gray["coef"] == pytest.approx(cox.fit_cox(z, time, event)["coef"], rel=1e-9)
    ours = calibration.observed_expected(time, event, risk, 1, none)
    assert ours["estimate"] == pytest.approx(calibration.observed_expected(time, event, risk, 1)["estimate"])
    table = net_benefit(time, event, risk, 1, [0.3, 0.6], none)
    assert table["net_benefit"].to_list() == pytest.approx(net_benefit(time, event, risk, 1, [0.3, 0.6])["net_benefit"])


def _km(time, event, horizon):
    survival = 1.0
    for t in np.unique(time[event & (time <= horizon)]):
        survival *= 1 - (event & (time == t)).sum() / (time >= t).sum()
    return survival


def test_without_censoring_everything_is_counting():
    time, event, other, z, risk = sample(censored=False)
    case = event & (time <= 1)
    assert competing.incidence_at(time, event, other, 1) == pytest.approx(case.mean())
    assert brier_at(time, event, risk, 1, other)["estimate"] == pytest.approx(np.mean((case - risk) ** 2))
    plain = np.mean((z[case][:, None] > z[~case]) + 0.5 * (z[case][:, None] == z[~case]))
    assert auc_at(time, event, z, 1, other)["estimate"] == pytest.approx(plain)
    # Wolbers: who died counts as never having the event, so event time is infinite
    never = np.where(other, np.inf, time)
    pairs = [(z[i] > z[never > never[i]]).mean() * (never > never[i]).sum() for i in np.flatnonzero(case)]
    usable = sum((never > never[i]).sum() for i in np.flatnonzero(case))
    assert competing.c_competing(time, event, other, z, 1)[0]["estimate"] == pytest.approx(sum(pairs) / usable)
    benefit = net_benefit(time, event, risk, 1, [0.4], other).iloc[0]
    high = risk >= 0.4
    assert benefit["net_benefit"] == pytest.approx(((high & case).sum() - (high & ~case).sum() * 0.4 / 0.6) / 400)


def test_true_risks_are_calibrated_and_treating_death_as_censoring_is_not():
    time, event, other, z, risk = sample(4000)
    naive = 1 - np.exp(-np.exp(z))
    assert calibration.observed_expected(time, event, risk, 1, other)["estimate"] == pytest.approx(1, abs=0.06)
    assert calibration.observed_expected(time, event, naive, 1, other)["estimate"] < 0.9
    curve = calibration.calibration_curve(time, event, risk, 1, competing=other)
    assert curve["ici"] < 0.02
    table = curve["curve"]
    assert (table["lower"] < table["observed"]).all() and (table["observed"] < table["upper"]).all()
    groups = calibration.calibration_groups(time, event, risk, 1, 5, other)
    assert ((groups["lower"] < groups["predicted"]) & (groups["predicted"] < groups["upper"])).sum() >= 4
    assert calibration.competing_slope(time, event, other, risk)["estimate"] == pytest.approx(1, abs=0.15)
    assert ipa(time, event, risk, 1, other)["estimate"] > ipa(time, event, naive, 1, other)["estimate"]


def test_the_band_of_fine_gray_covers():
    """The interval of the predicted incidence holds the truth of a Fine-Gray model in about 95 of 100 data sets."""
    inside = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        z = rng.binomial(1, 0.5, 300).astype(float)
        # subdistribution P(event by t | z) = 1 - (1 - 0.5 (1 - exp(-t)))^exp(0.5 z)
        ever = 1 - 0.5 ** np.exp(0.5 * z)
        event = rng.random(300) < ever
        u = rng.random(300) * ever
        failure = np.where(event, -np.log(1 - (1 - (1 - u) ** np.exp(-0.5 * z)) / 0.5), rng.exponential(size=300))
        limit = rng.uniform(0.5, 3, 300)
        time, seen = np.minimum(failure, limit), failure <= limit
        fitted = competing.fit_fine_gray(z, time, seen & event, seen & ~event)
        incidence, se = competing.predict_fine_gray(fitted, [[1.0]], 1)
        truth = np.log(-np.exp(0.5) * np.log(1 - 0.5 * (1 - np.exp(-1))))
        inside.append(abs(np.log(-np.log1p(-incidence[0])) - truth) < 1.96 * se[0])
    assert np.mean(inside) >= 0.88


def test_concordance_differs_from_harrell_where_death_removes_the_sickest():
    time, event, other, z, _ = sample(2000)
    wolbers, influence = competing.c_competing(time, event, other, z, 2)
    assert wolbers["lower"] < wolbers["estimate"] < wolbers["upper"] and influence.sum() == pytest.approx(0, abs=1e-9)
    assert harrell_c(time, event, z)["estimate"] > 0.5 and uno_c(time, event, z, 2)["estimate"] > 0.5
    noise = np.random.default_rng(3).normal(size=2000)
    better = competing.c_competing_difference(time, event, other, z, noise, 2)
    assert better["lower"] > 0 and better["p"] < 1e-6
    assert "alike" in competing.c_competing_difference(time, event, other, z, 2 * z, 2)["reason"]


def test_everybody_gone_and_no_events_are_legal():
    table = competing.cumulative_incidence([1, 2, 2, 3], [1, 0, 1, 1], [0, 1, 0, 0])
    assert table["incidence"].to_list() == pytest.approx([0, 0.25, 0.5, 0.75])
    assert competing.cumulative_incidence([1, 2], [0, 0], [1, 0])["incidence"].to_list() == [0, 0, 0]
    nobody = np.zeros(12)
    assert "no comparable pairs" in competing.c_competing(np.ones(12), nobody, nobody, np.ones(12), 1)[0]["reason"]
    with pytest.raises(estimate.NotEstimable, match="no events"):
        competing.fit_fine_gray([1.0, 2.0], [1, 2], [0, 0], [1, 0])
    with pytest.raises(ValueError, match="both"):
        competing.incidence_at([1], [1], [1], 2)


VARIABLE = {"kind": "numeric", "timing": "pre", "unit": "", "transform": "none", "label": "z"}


@pytest.fixture(scope="module")
def frozen():
    time, event, other, z, risk = sample(600, seed=4)
    ids = [f"p{i:03d}" for i in range(600)]
    clinical = pd.DataFrame({"patient_id": ids, "centre": "A", "z": z})
    codes = {"patient_id": ids, "R_time": 20 * time, "R_event": event + 2 * other}
    assigned = pd.Series(np.where(np.arange(600) < 400, "train", "external-B"), index=ids)
    frame, _ = make_analysis_set(assigned, clinical, pd.DataFrame(codes), "R", None, competing=True)
    train = frame[frame["cohort"] == "train"].reset_index(drop=True)
    none = np.zeros((400, 0)), np.zeros((400, 0, 0)), []
    training = Training(train["patient_id"].to_numpy(), outcome_of(train), train[["z"]], *none)
    preset = yaml.safe_load((ROOT / "presets/recommended.yaml").read_text())
    rest = {"variables": {"z": VARIABLE}, "candidates": {"pre": ["z"], "post": []}, "horizons_months": [20]}
    models = fit_models(training, None, preset | rest | {"models": ["clinical_pre"]}, 1)
    return frame, training, models, apply_models(models, None, frame, np.zeros((600, 0)), []), risk


class TestAStudyWithCompetingDeath:
    """From event codes to frozen models and their tables, on clinical variables."""

    def test_codes_become_two_columns(self, frozen):
        frame = frozen[0]
        assert set(frame["event"]) == {0, 1} and set(frame["competing"]) == {0, 1}
        assert not (frame["event"] & frame["competing"]).any()

    def test_the_model_holds_both_hazards_and_predicts_the_true_incidence(self, frozen):
        _, training, models, table, risk = frozen
        model = models["clinical_pre"]
        alone = cox.fit_cox(training.clinical[["z"]], training.outcome.time, training.outcome.event)
        assert model["terms"][0]["coef"] == pytest.approx(alone["coef"][0])
        assert abs(model["competing"]["terms"][0]["coef"]) < 0.25 and model["competing"]["reason"] == ""
        assert np.abs(table["risk_20"] - risk).mean() < 0.03
        with pytest.raises(ValueError, match="competing"):
            risk_at(model, np.zeros(3), 20)

    def test_with_few_deaths_their_hazard_has_no_covariates(self, frozen):
        _, training, _, _, _ = frozen
        few = training._replace(
            outcome=training.outcome._replace(
                competing=training.outcome.competing * (np.cumsum(training.outcome.competing) <= 3)
            )
        )
        preset = yaml.safe_load((ROOT / "presets/recommended.yaml").read_text())
        rest = {"variables": {"z": VARIABLE}, "candidates": {"pre": ["z"], "post": []}, "horizons_months": [20]}
        death = fit_models(few, None, preset | rest | {"models": ["clinical_pre"]}, 1)["clinical_pre"]["competing"]
        assert death["terms"] == [] and death["events"] == 3 and "no covariates" in death["reason"]

    def test_tables_judge_incidence(self, frozen):
        _, _, models, table, _ = frozen
        result = performance(table, models, 1)
        own = result[result["cohort"] == "external-B"].set_index("metric")
        assert "c_uno" not in own.index and 0.6 < own.loc["c_competing", "estimate"] < 0.9
        assert own.loc["oe_ratio", "lower"] < 1 < own.loc["oe_ratio", "upper"]
        assert own.loc["calibration_slope", "lower"] < 1 < own.loc["calibration_slope", "upper"]
        assert own.loc["oe_ratio", "method"].startswith("Aalen-Johansen") and own.loc["ici", "estimate"] < 0.1
        tables = survival_tables(table, [20])
        assert set(tables["km"]["curve"]) == {"aalen-johansen"}
        whole = tables["rates"].query("model == 'all' and cohort == 'external-B'").iloc[0]
        part = table[table["cohort"] == "external-B"]
        expected = 1 - competing.incidence_at(part["time"], part["event"], part["competing"], 20)
        assert whole["survival"] == pytest.approx(expected)
        assert time_curves(table, models)["estimate"].notna().any()
        assert comparisons(table, pd.DataFrame(columns=NESTED_COLUMNS), 1).empty
