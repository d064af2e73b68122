"""Statistics equal R's on cohorts that Python packages ship: lung cancer (ties), chronic GVHD (competing).

tests/data/other_values.R made the values; data so small or odd that an estimate must fail, say so or stay blank.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from eliminate import eliminate_cox, eliminate_logistic
from lifelines.datasets import load_lung
from sksurv.datasets import load_cgvhd

from recur.predict.nomogram import nomogram_points
from recur.statistics import calibration, competing, concordance, cox, estimate, survival, time_roc
from recur.statistics.agreement import icc_2_1
from recur.statistics.brier import brier_at, brier_null, ibs, ipa
from recur.statistics.cutpoint import best_cutpoint
from recur.statistics.elastic_net import Penalty, cox_family, cross_validate, elastic_net_path, logistic_family
from recur.statistics.net_benefit import net_benefit

R = json.loads((Path(__file__).parents[1] / "data" / "other_values.json").read_text())
LUNG = load_lung().dropna(subset=["ph.ecog", "ph.karno"])
TIME, EVENT = LUNG["time"].to_numpy() / 30.4375, LUNG["status"].to_numpy() == 1
ECOG, SEX = LUNG["ph.ecog"].clip(upper=2).to_numpy(), LUNG["sex"].to_numpy()
X = np.column_stack([LUNG["age"], SEX, LUNG["ph.karno"], ECOG == 1, ECOG == 2]).astype(float)
TERMS = [[0], [1], [2], [3, 4]]
FIT, HELD = slice(0, None, 2), slice(1, None, 2)
HORIZONS = [6.0, 12.0]


def exact(ours, r, tolerance=1e-7):
    r = np.array([np.nan if value is None else value for value in np.ravel(r)], float)
    np.testing.assert_allclose(np.ravel(ours), r, rtol=tolerance, atol=1e-12)


def test_survival():
    curve, r = survival.kaplan_meier(TIME, EVENT)[1:], R["km"]
    for column in ("survival", "n_risk", "lower", "upper"):
        exact(curve[column], r[column])
    exact(list(survival.median_survival(TIME, EVENT).values()), r["median"])
    rates = survival.survival_rates(TIME, EVENT, HORIZONS)
    exact(rates[["survival", "lower", "upper"]].T, [r["rates"], r["rates_lower"], r["rates_upper"]])


def test_limits_of_the_median_are_those_that_r_prints():
    # leukaemia, both arms: weeks, and whether relapsed
    time = [9, 13, 13, 18, 23, 28, 31, 34, 45, 48, 161, 5, 5, 8, 8, 12, 16, 23, 27, 30, 33, 43, 45]
    event = [1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
    exact(list(survival.median_survival(time, event).values()), R["aml"])


def test_logrank():
    exact(survival.logrank(TIME, EVENT, ECOG)["chi2"], R["logrank"]["groups"])
    exact(survival.logrank_trend(TIME, EVENT, ECOG)["chi2"], R["logrank"]["trend"])


def test_cox():
    fitted, r = cox.fit_cox(X, TIME, EVENT), R["cox"]
    wald = cox.wald_test(fitted["coef"], fitted["covariance"])["chi2"]
    exact(fitted["coef"], r["coef"])
    exact(fitted["se"], r["se"])
    exact([wald, fitted["score_chi2"], fitted["loglik_null"], fitted["loglik"]], [r["wald"], r["score"], *r["loglik"]])
    exact(cox.schoenfeld_test(X, TIME, EVENT, terms=TERMS)["chi2"], R["zph"])
    kept, _ = eliminate_cox(X, ["age", "sex", "karno", "cbind(e1, e2)"], TIME, EVENT, TERMS)
    assert kept == R["kept"]


def test_the_unpenalised_end_of_the_efron_path_is_coxph():
    scale = X.std(axis=0)
    lambdas = np.geomspace(0.1, 1e-10, 30)
    family, penalty = cox_family(TIME, EVENT, "efron"), Penalty(0.5, lambdas)
    path = elastic_net_path((X - X.mean(axis=0)) / scale, family, penalty, 1e-3)
    exact(path[:, -1] / scale, R["cox"]["coef"], 1e-8)


def test_backward_elimination_by_p():
    """R: coxph and glm refitted by hand without the term of the largest Wald p, while that is above 0.05."""
    names = ["age", "sex", "ph.karno", "wt.loss", "meal.cal", "pat.karno"]
    rows = load_lung().dropna(subset=names)
    x, time, event = rows[names].to_numpy(float), rows["time"], rows["status"] == 1
    r = {
        "cox": (["meal.cal", "ph.karno", "age", "wt.loss"], [0.959158781, 0.768724635, 0.365469376, 0.269384201]),
        "logistic": (["wt.loss", "meal.cal", "age", "ph.karno"], [0.928055698, 0.604114475, 0.337652187, 0.208361603]),
    }
    for model, (kept, trace) in {
        "cox": eliminate_cox(x, names, time, event, p_remove=0.05),
        "logistic": eliminate_logistic(x, names, event, p_remove=0.05),
    }.items():
        assert kept == ["sex", "pat.karno"] and trace["dropped"].tolist()[1:] == r[model][0]
        exact(trace["p"][1:], r[model][1])
    # imputations stacked below each other weigh as one
    once = eliminate_logistic(x, names, event, p_remove=0.05)
    stacked = eliminate_logistic(np.vstack([x] * 3), names, np.tile(event, 3), copies=3, p_remove=0.05)
    assert stacked[0] == once[0]
    exact(stacked[1]["p"][1:], once[1]["p"][1:])


class TestAModelOfOtherRows:
    fitted = cox.fit_cox(X[FIT], TIME[FIT], EVENT[FIT])
    time, event, lp = TIME[HELD], EVENT[HELD], X[HELD] @ fitted["coef"]

    def risk(self, times):
        centre = X[FIT].mean(axis=0)
        baseline = cox.baseline_survival(X[FIT] - centre, TIME[FIT], EVENT[FIT], self.fitted["coef"])
        lp = (X[HELD] - centre) @ self.fitted["coef"]
        return 1 - cox.survival_at(*baseline, times) ** np.exp(lp)[:, None]

    def test_concordance(self):
        own, uno = (
            concordance.harrell_c(self.time, self.event, self.lp),
            concordance.uno_c(self.time, self.event, self.lp, 12),
        )
        difference = concordance.c_difference(self.time, self.event, self.lp, X[HELD, 0])
        exact([v for c in (own, difference, uno) for v in (c["estimate"], c["se"])], R["c"])
        royston = concordance.royston_d(self.time, self.event, self.lp)
        exact([royston["estimate"], royston["se"], royston["r2"]], R["royston"])

    @pytest.mark.parametrize("at", [0, 1])
    def test_prediction_error_calibration_and_net_benefit(self, at):
        r, months, outcome = R["judged"][at], HORIZONS[at], (self.time, self.event)
        risk = self.risk(np.array([months]))[:, 0]
        auc, difference = (
            time_roc.auc_at(*outcome, risk, months),
            time_roc.auc_difference(*outcome, risk, X[HELD, 0], months),
        )
        exact([auc["estimate"], auc["se"], difference["estimate"], difference["se"]],
              [r["auc"], r["auc_se"], r["difference"], r["difference_se"]])  # fmt: skip
        null, model = brier_null(*outcome, months), brier_at(*outcome, risk, months)
        exact([null["estimate"], model["estimate"], null["se"], model["se"]], [*r["brier"], *r["brier_se"]])
        exact(ipa(*outcome, risk, months)["estimate"], r["ipa"])
        slope = calibration.calibration_slope(*outcome, np.log(-np.log(1 - risk)))
        curve = calibration.calibration_curve(*outcome, risk, months)
        oe = calibration.observed_expected(*outcome, risk, months)
        exact([slope["estimate"], slope["se"], oe["estimate"]], [r["slope"], r["slope_se"], r["oe"]])
        exact([curve[name] for name in ("ici", "e50", "e90")], [r["ici"], r["e50"], r["e90"]])
        exact(net_benefit(*outcome, risk, months, [0.2, 0.3])["net_benefit"], r["net_benefit"])

    def test_integrated_brier_score(self):
        exact([ibs(self.time, self.event, function, 12)["estimate"] for function in (None, self.risk)], R["ibs"])


def test_cutpoint():
    best = best_cutpoint(X[:, 0], TIME, EVENT)
    below = X[X[:, 0] < best["cutpoint"], 0].max()  # R's cut is the score below, ours lies midway to the next
    exact([below, *(best[key] for key in ("statistic", "p_lau92", "p_lau94"))], R["maxstat"])


class TestElasticNet:
    z, fold = (X - X.mean(axis=0)) / X.std(axis=0), np.arange(len(X)) % 5
    lambdas = np.array(R["glmnet"]["lambda"])

    def test_cox(self):
        r = R["glmnet"]
        family, penalty = cox_family(TIME, EVENT), Penalty(0.5, self.lambdas)
        np.testing.assert_allclose(elastic_net_path(self.z, family, penalty, 1e-9), r["coef"], atol=1e-6)
        deviance, error = cross_validate(self.z, family, penalty, self.fold)
        exact(deviance, r["deviance"], 1e-6)
        exact(error, r["se"], 1e-5)

    def test_logistic(self):
        deviance, error = cross_validate(self.z, logistic_family(EVENT), Penalty(1.0, self.lambdas), self.fold)
        exact(deviance, R["binomial"]["deviance"], 1e-6)
        exact(error, R["binomial"]["se"], 1e-5)

    def test_one_wild_row_left_out_does_not_decide_the_penalty(self):
        wild = 5 * EVENT + np.sin(np.arange(1, len(X) + 1))
        wild[0] = -500
        x = np.column_stack([self.z, wild])
        deviance, _ = cross_validate(x, logistic_family(EVENT), Penalty(1.0, self.lambdas), self.fold)
        exact(deviance, R["wild"], 1e-6)


def test_nomogram():
    coef, values = R["nomogram"]["coef"], {"age": [40, 60, 80], "karno": [50, 75, 100]}
    axes = [{"name": name, "coef": c, "values": v} for c, (name, v) in zip(coef, values.items(), strict=True)]
    exact(nomogram_points(axes).query("axis != 'total'")["points"], R["nomogram"]["points"])


def test_icc():
    ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]  # Shrout & Fleiss
    exact(icc_2_1(np.array(ratings)).iloc[0], R["icc"])


class TestCompetingRisks:
    frame, outcome = load_cgvhd()
    time, event = outcome["ftime"].astype(float), outcome["status"] == 3
    other = np.isin(outcome["status"], [1, 2])
    x = np.column_stack([frame["age"], frame["extent"] == "L"]).astype(float)

    def test_incidence(self):
        curve, r = competing.cumulative_incidence(self.time, self.event, self.other), R["aalen_johansen"]
        at = curve.iloc[np.searchsorted(curve["time"], [0.25, 0.5], side="right") - 1]
        for column in ("incidence", "se", "lower", "upper"):
            exact(at[column], r[column])

    def test_fine_gray(self):
        fitted = competing.fit_fine_gray(self.x, self.time, self.event, self.other)
        exact(fitted["coef"], R["fine_gray"]["coef"])
        exact(fitted["se"], R["fine_gray"]["se"])

    def test_cause_specific_prediction_and_its_accuracy(self):
        r, hazards, lps, centred = R["competing"], [], [], self.x - self.x.mean(axis=0)
        for cause in (self.event, self.other):
            coef = cox.fit_cox(centred, self.time, cause)["coef"]
            times, free = cox.baseline_survival(centred, self.time, cause, coef)
            hazards.append((times, -np.log(free)))
            lps.append(centred @ coef)

        def risks(times):
            return competing.cause_specific_incidence(*hazards, *lps, times)

        exact([ibs(self.time, self.event, f, 0.5, self.other)["estimate"] for f in (None, risks)], r["ibs"])
        risk = risks([0.5])[:, 0]
        exact(risk[:5], r["risk"])
        judged = self.time, self.event, risk, 0.5, self.other
        auc, model, null = (
            time_roc.auc_at(*judged),
            brier_at(*judged),
            brier_null(self.time, self.event, 0.5, self.other),
        )
        exact([auc["estimate"], auc["se"]], [r["auc"], r["auc_se"]])
        exact([null["estimate"], model["estimate"], null["se"], model["se"]], [*r["brier"], *r["brier_se"]])
        exact(competing.c_competing(self.time, self.event, self.other, risk, 0.5)[0]["estimate"], r["c"])


class TestNoAnswer:
    """Where the data hold no answer there is a reason, and no warning of numpy on the way."""

    pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

    def test_levels_without_an_event_are_separation_not_collinearity(self):
        # R's coxph: "Loglik converged before variable 1, 2; coefficient may be infinite"
        rng, level = np.random.default_rng(0), np.arange(120) % 3
        event = (rng.random(120) < 0.4) & (level > 0)
        x = np.column_stack([level == 1, level == 2]).astype(float)
        with pytest.raises(estimate.NotEstimable, match="infinite"):
            cox.fit_cox(x, rng.exponential(1, 120), event)

    def test_one_event_time_has_no_test_of_proportional_hazards(self):
        time, event = np.array([1.0, 1, 2, 2, 2, 2]), np.array([1, 1, 0, 0, 0, 0])
        with pytest.raises(estimate.NotEstimable, match="too few distinct event times"):
            cox.schoenfeld_test([0.1, 0.9, 0.3, 0.4, 0.5, 0.2], time, event)

    def test_a_predictor_out_of_all_scale_still_has_its_slope(self):
        rng = np.random.default_rng(1)
        lp = rng.normal(size=200)
        time = rng.exponential(np.exp(-lp))
        plain, wild = (calibration.calibration_slope(time, np.ones(200), k * lp) for k in (1, 1000))
        exact([1000 * wild["estimate"], 1000 * wild["se"]], [plain["estimate"], plain["se"]])
        assert wild["p"] < 1e-12 < plain["p"]

    def test_collinear_covariates_have_no_fine_gray_model(self):
        case = TestCompetingRisks
        doubled = np.column_stack([case.x, 2 * case.x[:, 0] + 1e-9 * np.sin(np.arange(100))])
        with pytest.raises(estimate.NotEstimable, match="collinear"):
            competing.fit_fine_gray(doubled, case.time, case.event, case.other)

    def test_an_integral_over_one_value_is_that_value(self):
        time, event = np.r_[0.0, np.full(12, 5.0)], np.r_[1, np.zeros(12)]
        assert ibs(time, event, None, 2)["estimate"] == pytest.approx(1 / 13 * 12 / 13)

    def test_what_is_truncated_at_a_time_that_few_reach(self):
        """Held-out patients followed for less than the horizon have no estimate there, rather than one of another."""
        case = TestCompetingRisks
        late = np.sort(case.time)[-9]
        reasons = [
            competing.c_competing(case.time, case.event, case.other, case.x[:, 0], late)[0]["reason"],
            concordance.uno_c(case.time, case.event, case.x[:, 0], late)["reason"],
            ibs(case.time, case.event, None, late, case.other)["reason"],
        ]
        assert all("fewer than 10" in reason for reason in reasons)
