"""Every statistic equals R's on a small cohort full of ties, with a time of 0 and a competing event.

tests/data/r_values.R made cohort and values; unlike the values in $REFERENCE_DATA they are always there.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from eliminate import eliminate_cox

from recur.statistics import competing, concordance, cox, survival, time_roc
from recur.statistics.brier import brier_at, brier_null, ibs, ipa
from recur.statistics.cutpoint import best_cutpoint
from recur.statistics.elastic_net import Penalty, cox_family, cross_validate, elastic_net_path

DATA = Path(__file__).parents[1] / "data"
R = json.loads((DATA / "r_values.json").read_text())
COHORT = pd.read_csv(DATA / "tied.csv")
TIME, EVENT, OTHER = COHORT["time"].to_numpy(float), COHORT["code"].to_numpy() == 1, COHORT["code"].to_numpy() == 2
NAMES = ["x1", "x2", "x3"]
X = COHORT[NAMES].to_numpy(float)
FITTED = cox.fit_cox(X, TIME, EVENT)
LP = X @ FITTED["coef"]


def exact(ours, r, tolerance=1e-9):
    r = np.array([np.nan if value is None else value for value in np.ravel(r)], float)
    np.testing.assert_allclose(np.ravel(ours), r, rtol=tolerance, atol=1e-12)


def test_kaplan_meier():
    curve, r = survival.kaplan_meier(TIME, EVENT), R["km"]
    for column in ("time", "n_risk", "n_event", "n_censor", "survival"):
        exact(curve[column], r[column])
    for column in ("lower", "upper"):  # R leaves the band blank where survival is 1
        exact(curve[column][1:], r[column][1:])
    exact(list(survival.median_survival(TIME, EVENT).values()), r["median"])
    exact(list(survival.follow_up(TIME, EVENT).values()), r["follow_up"])


def test_logrank_of_groups_and_for_trend():
    group = COHORT["group"]
    exact(survival.logrank(TIME, EVENT, group)["chi2"], R["logrank"]["groups"])
    exact(survival.logrank_trend(TIME, EVENT, group)["chi2"], R["logrank"]["trend"])


def test_cox():
    r = R["cox"]
    exact(FITTED["coef"], r["coef"])
    exact(FITTED["se"], r["se"])
    exact([FITTED["loglik_null"], FITTED["loglik"], FITTED["score_chi2"]], [*r["loglik"], r["score"]])
    exact(cox.wald_test(FITTED["coef"], FITTED["covariance"])["chi2"], r["wald"])
    predicted, se = cox.predicted_survival(X, TIME, EVENT, FITTED, X[:3], 6)
    exact(predicted, R["predicted"]["survival"])
    for ours, limit in zip(survival.survival_band(predicted, se), ("lower", "upper"), strict=True):
        exact(ours, R["predicted"][limit])
    assert eliminate_cox(X, NAMES, TIME, EVENT)[0] == R["kept"]


def test_proportional_hazards():
    exact(cox.schoenfeld_test(X, TIME, EVENT)["chi2"], R["zph"])


def test_concordance():
    r, harrell, uno = R["c"], concordance.harrell_c(TIME, EVENT, LP), concordance.uno_c(TIME, EVENT, LP, 8)
    exact([harrell["estimate"], harrell["se"]], [r["harrell"], r["se"]])
    difference = concordance.c_difference(TIME, EVENT, LP, COHORT["x1"])
    exact([difference["estimate"], difference["se"]], [r["difference"], r["difference_se"]])
    exact([uno["estimate"], uno["se"]], [r["uno"], r["uno_se"]])
    royston = concordance.royston_d(TIME, EVENT, LP)
    exact([royston["estimate"], royston["se"], royston["r2"]], R["royston"])


def risk(times):
    baseline = cox.baseline_survival(X - X.mean(axis=0), TIME, EVENT, FITTED["coef"])
    return 1 - cox.survival_at(*baseline, times) ** np.exp((X - X.mean(axis=0)) @ FITTED["coef"])[:, None]


def test_auc_and_brier():
    r, at_six = R["score"], risk(np.array([6.0]))[:, 0]
    auc, model, null = (
        time_roc.auc_at(TIME, EVENT, at_six, 6),
        brier_at(TIME, EVENT, at_six, 6),
        brier_null(TIME, EVENT, 6),
    )
    exact([auc["estimate"], auc["se"]], [r["auc"], r["auc_se"]])
    exact([null["estimate"], model["estimate"], null["se"], model["se"]], [*r["brier"], *r["brier_se"]])
    exact(ipa(TIME, EVENT, at_six, 6)["estimate"], r["ipa"])
    exact([ibs(TIME, EVENT, function, 6)["estimate"] for function in (None, risk)], r["ibs"])
    # a horizon that is nobody's time: the score of the last time before it holds up to it
    exact([ibs(TIME, EVENT, function, 6.9)["estimate"] for function in (None, risk)], r["ibs_later"])


def test_integrated_brier_score_needs_nobody_beyond_its_end():
    """Follow-up cut at the horizon, as administrative censoring does, leaves the integral as it was."""
    early = TIME <= 6
    cut, until = np.minimum(TIME, 6), EVENT & early
    exact([ibs(cut, until, function, 6)["estimate"] for function in (None, risk)], R["score"]["ibs"])
    assert brier_at(cut, until, LP - LP.min(), 6)["reason"] == "nobody is followed beyond 6"


def test_cutpoint():
    best = best_cutpoint(COHORT["x1"], TIME, EVENT)
    scores = np.unique(COHORT["x1"])
    below, above = scores[scores < best["cutpoint"]].max(), scores[scores > best["cutpoint"]].min()
    assert best["cutpoint"] == pytest.approx((below + above) / 2)  # R's cut is the score below
    # p_lau94 is over all candidates, of which R takes those with few events too; test_other_data compares it
    exact([below, best["statistic"], best["p_lau92"]], R["maxstat"])


def test_competing_risks():
    curve, r = competing.cumulative_incidence(TIME, EVENT, OTHER), R["aalen_johansen"]
    at = curve.iloc[np.searchsorted(curve["time"], [3, 6, 9], side="right") - 1]
    for column in ("incidence", "se", "lower", "upper"):
        exact(at[column], r[column])
    fine_gray = competing.fit_fine_gray(X, TIME, EVENT, OTHER)
    exact(fine_gray["coef"], R["fine_gray"]["coef"])
    exact(fine_gray["se"], R["fine_gray"]["se"])


def test_cause_specific_prediction_and_its_accuracy():
    hazards, lps, centre, r = [], [], X.mean(axis=0), R["competing"]
    for event in (EVENT, OTHER):
        coef = cox.fit_cox(X - centre, TIME, event)["coef"]
        times, free = cox.baseline_survival(X - centre, TIME, event, coef)
        hazards.append((times, -np.log(free)))
        lps.append((X - centre) @ coef)
    incidence = competing.cause_specific_incidence(*hazards, *lps, [6])[:, 0]
    exact(incidence[:5], r["incidence"])

    def risks(times):
        return competing.cause_specific_incidence(*hazards, *lps, times)

    exact([ibs(TIME, EVENT, function, 6.9, OTHER)["estimate"] for function in (None, risks)], r["ibs"])
    auc, null = time_roc.auc_at(TIME, EVENT, incidence, 6, OTHER), brier_null(TIME, EVENT, 6, OTHER)
    model = brier_at(TIME, EVENT, incidence, 6, OTHER)
    exact([auc["estimate"], auc["se"]], [r["auc"], r["auc_se"]])
    exact([null["estimate"], model["estimate"], null["se"], model["se"]], [*r["brier"], *r["brier_se"]])
    exact(competing.c_competing(TIME, EVENT, OTHER, incidence, 6)[0]["estimate"], r["c"])


def test_lasso_path_and_deviance_with_ties():
    rows, r = TIME > 0, R["glmnet"]  # glmnet takes no time of 0
    x = np.column_stack([X, X[:, 0] ** 2, X[:, 0] * X[:, 2]])[rows]
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    family, penalty = cox_family(TIME[rows], EVENT[rows]), Penalty(1.0, np.array(r["lambda"]))
    path = elastic_net_path(z, family, penalty, 1e-9) / x.std(axis=0)[:, None]
    np.testing.assert_allclose(path, np.reshape(r["coef"], (5, -1)), rtol=1e-6, atol=1e-7)
    deviance, error = cross_validate(z, family, penalty, COHORT["fold"].to_numpy()[rows])
    exact(deviance, r["deviance"], 1e-6)
    exact(error, r["se"], 1e-5)
