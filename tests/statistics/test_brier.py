import numpy as np
import oracle
import pytest

from recur.statistics import brier as p
from recur.statistics import cox
from recur.statistics.time_roc import auc_difference


def exact(ours, r, tolerance=1e-9):
    assert oracle.worst(ours, r) < tolerance


def sample(n=200, seed=0):
    rng = np.random.default_rng(seed)
    failure, censoring = rng.exponential(size=n), rng.exponential(size=n) * 2
    return np.minimum(failure, censoring), failure <= censoring, rng.random(n)


@pytest.mark.reference
@pytest.mark.parametrize("cohort", ["external", "train"])
def test_brier_and_ipa_equal_score(cohort):
    data = oracle.table("rotterdam_gbsg", "predictions.csv").query("set == @cohort")
    r = oracle.items("rotterdam_gbsg", "score")[f"{cohort}/brier"]["values"]
    for k, (model, horizon) in enumerate(zip(r["model"], r["times"], strict=True)):
        outcome = data["time"], data["status"]
        if model == "Null model":
            ours = p.brier_null(*outcome, horizon)
        else:
            risk = data[f"risk{horizon}_{model}"]
            ours = p.brier_at(*outcome, risk, horizon)
            exact([p.ipa(*outcome, risk, horizon)["estimate"]], [r["IPA"][k]])
        expected = [r[c][k] for c in ("Brier", "se", "lower", "upper")]
        exact([ours[c] for c in ("estimate", "se", "lower", "upper")], expected)


@pytest.mark.reference
@pytest.mark.parametrize("cohort", ["external", "train"])
@pytest.mark.parametrize(("metric", "function"), [("AUC", auc_difference), ("Brier", p.brier_difference)])
def test_paired_differences_equal_the_contrasts_of_score(cohort, metric, function):
    data = oracle.table("rotterdam_gbsg", "predictions.csv").query("set == @cohort")
    r = oracle.items("rotterdam_gbsg", "score")[f"{cohort}/{metric.lower()}_contrasts"]["values"]
    for k, (model, reference, horizon) in enumerate(zip(r["model"], r["reference"], r["times"], strict=True)):
        if reference == "Null model":
            continue
        names = (f"risk{horizon}_{name}" for name in (model, reference))
        ours = function(data["time"], data["status"], *(data[name] for name in names), horizon)
        expected = [r[c][k] for c in (f"delta.{metric}", "se", "lower", "upper", "p")]
        exact([ours[c] for c in ("estimate", "se", "lower", "upper", "p")], expected, 1e-8)


@pytest.mark.reference
def test_ibs_equals_pec():
    data = oracle.table("rotterdam_gbsg")
    train, external = data.query("set == 'train' and node_positive == 1"), data.query("set == 'external'")
    models = oracle.items("rotterdam_gbsg", "cox_multivariable")
    r = oracle.items("rotterdam_gbsg", "score")["external/pec_ibs"]["values"]
    for model, expected in zip(r["models"], r["ibs"], strict=True):
        risk = None
        if model != "Reference":
            columns = models[f"train_nodepos/multi/{model}/efron"]["input"]["x"]
            x, centre = train[columns], train[columns].mean()
            coef = cox.fit_cox(x, train["time"], train["status"])["coef"]
            times, survival = cox.baseline_survival(x - centre, train["time"], train["status"], coef)
            hazard = np.exp((external[columns] - centre).to_numpy() @ coef)[:, None]

            def risk(t, times=times, survival=survival, hazard=hazard):
                return 1 - cox.survival_at(times, survival, t) ** hazard

        # these values were made with pec's maxtime = 5, which ends its curve, and so the integral, at the last time
        # before: r_values.R and other_values.R have horizons between two times
        end = external["time"][external["time"] <= r["tmax"]].max()
        exact([p.ibs(external["time"], external["status"], risk, end)["estimate"]], [expected])


def test_brier_without_censoring_is_the_mean_squared_error():
    time, _, risk = sample()
    assert p.brier_at(time, np.ones(200), risk, 0.5)["estimate"] == pytest.approx(np.mean(((time <= 0.5) - risk) ** 2))


def test_curve_ibs_and_single_scores_agree():
    time, event, risk = sample()
    times = np.unique(time[time <= 1])
    curve = p.brier_curve(time, event, np.tile(risk[:, None], len(times)), times)
    assert curve[50] == pytest.approx(p.brier_at(time, event, risk, times[50])["estimate"])
    constant = p.ibs(time, event, lambda t: np.tile(risk[:, None], len(t)), 1)["estimate"]
    assert constant == pytest.approx(curve @ np.diff(times, append=1))


def test_the_integral_reaches_its_horizon():
    """R: pec(list(prodlim(Hist(t, e) ~ 1, d)), exact = TRUE, cens.model = "marginal") with t 1 to 40, all events."""
    time = np.arange(1.0, 41)
    ours = [p.ibs(time, np.ones(40), None, horizon)["estimate"] for horizon in (10, 20, 20.9, 30)]
    exact(ours, [0.0946875, 0.1603125, 0.16417464114833, 0.18427083333333], 1e-12)


def test_null_model_has_ipa_zero():
    time, event, _ = sample()
    risk = np.full(200, p.null_risk(time, event, 0.5))
    assert p.ipa(time, event, risk, 0.5)["estimate"] == pytest.approx(0)


def test_no_answer_is_blank_with_its_reason():
    time, event, risk = sample()
    for result in (p.brier_at(time, event, risk, 9), p.ipa(time, event, risk, 9), p.ibs(time, event, None, 9)):
        assert np.isnan(result["estimate"]) and "fewer than 10" in result["reason"]
    for function in (auc_difference, p.brier_difference):
        assert "fewer than 10" in function(time, event, risk, risk / 2, 9)["reason"]
        assert "alike" in function(time, event, risk, risk, 0.5)["reason"]
    assert p.brier_null(time, 0 * event, 0.1)["reason"] == "no events by 0.1"
