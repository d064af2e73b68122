"""A published external validation, from its data to its table: Rotterdam develops, the German study group validates.

McLernon et al., Ann Intern Med 2023: Cox models of recurrence-free survival with and without the progesterone
receptor (pgr), 5 years. Its tables have two digits, hence +/- 0.005; the development model is printed with four.
"""

import numpy as np
import oracle
import pytest

from recur.statistics import calibration, cox, splines
from recur.statistics.brier import brier_at, ipa
from recur.statistics.concordance import harrell_c, uno_c
from recur.statistics.time_roc import auc_at

YEARS = 5
# what the authors printed: coefficients and survival at 5 years where every covariate is 0
EQUATIONS = {
    "basic": ([0.342, 0.574, 0.304, -0.811, 0.362], 0.804),
    "pgr": ([0.320, 0.554, 0.305, -0.820, 0.305, -0.003, 0.013], 0.761),
}
DEVELOPMENT = {
    "basic": {"lr": 531.00, "score": 635.29, "coef": [0.3418, 0.5736, 0.3040, -0.8111, 0.3617]},
    "pgr": {"lr": 563.19, "score": 664.84},
}
VALIDATION = {
    "basic": {
        "harrell": [0.65, 0.62, 0.69],
        "uno": [0.64],
        "auc": [0.68, 0.62, 0.73],
        "oe": [1.02],
        "slope": [1.06, 0.82, 1.30],
        "ici": [0.03],
        "brier": [0.22],
        "ipa": [0.10],
    },
    "pgr": {
        "harrell": [0.67, 0.64, 0.71],
        "uno": [0.66],
        "auc": [0.70, 0.65, 0.76],
        "oe": [1.00],
        "slope": [1.14, 0.92, 1.37],
        "ici": [0.02],
        "brier": [0.22],
        "ipa": [0.13],
    },
}
pytestmark = pytest.mark.reference


def cohort(name, model):
    """Design (n, p), time and event of a cohort, censored at 5 years; spline knots and winsorising as published."""
    data = oracle.table("rotterdam_gbsg")
    data = data[data["set"] == name]
    nodes = splines.restricted_cubic_spline(np.minimum(data["nodes"], 19), [0, 1, 9])
    pgr = splines.restricted_cubic_spline(np.minimum(data["pgr"], 1360), [0, 41, 486])
    x = np.column_stack([data[["size_20_50", "size_gt50"]], nodes, data["grade3"], *([pgr] if model == "pgr" else [])])
    years = data["rfs_days"].to_numpy() / 365.25
    return x, np.minimum(years, YEARS), (data["rfs_status"].to_numpy() == 1) & (years <= YEARS)


@pytest.mark.parametrize("model", EQUATIONS)
def test_the_development_model_is_the_printed_one(model):
    x, time, event = cohort("train", model)
    assert (len(time), event.sum()) == (2982, 1275)
    fitted, printed = cox.fit_cox(x, time, event), DEVELOPMENT[model]
    assert 2 * (fitted["loglik"] - fitted["loglik_null"]) == pytest.approx(printed["lr"], abs=0.005)
    assert fitted["score_chi2"] == pytest.approx(printed["score"], abs=0.005)
    if "coef" in printed:
        assert fitted["coef"] == pytest.approx(printed["coef"], abs=1e-4)  # rms stops its iterations early
    coef, survival = EQUATIONS[model]
    assert fitted["coef"] == pytest.approx(coef, abs=5e-4)
    times, baseline = cox.baseline_survival(x - x.mean(axis=0), time, event, fitted["coef"])
    at_zero = cox.survival_at(times, baseline, YEARS) ** np.exp(-x.mean(axis=0) @ fitted["coef"])
    assert at_zero == pytest.approx(survival, abs=6e-4)


@pytest.mark.parametrize("model", EQUATIONS)
def test_the_validation_of_the_printed_equation_is_the_printed_table(model):
    x, time, event = cohort("external", model)
    coef, survival = EQUATIONS[model]
    lp = x @ coef
    risk = 1 - survival ** np.exp(lp)
    just_before = YEARS - 0.01  # the authors', since everybody left is censored at 5
    observed = 1 - np.prod([1 - (event & (time == t)).sum() / (time >= t).sum() for t in np.unique(time[event])])
    ours = {
        "harrell": harrell_c(time, event, lp),
        "uno": uno_c(time, event, lp, YEARS),
        "auc": auc_at(time, event, lp, just_before),
        "oe": {"estimate": observed / risk.mean()},
        "slope": calibration.calibration_slope(time, event, lp),
        "ici": {"estimate": calibration.calibration_curve(time, event, risk, just_before)["ici"]},
        "brier": brier_at(time, event, risk, just_before),
        "ipa": ipa(time, event, risk, just_before),
    }
    for metric, printed in VALIDATION[model].items():
        for key, value in zip(("estimate", "lower", "upper"), printed, strict=False):
            assert ours[metric][key] == pytest.approx(value, abs=0.005), (metric, key)
