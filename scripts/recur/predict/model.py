"""What a frozen model says of any rows: its linear predictor, its risks, its groups. Nothing is fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.predict.design import design
from recur.predict.imputation import complete
from recur.predict.strata import of_stratum, offsets
from recur.predict.support import last_month
from recur.statistics.competing import cause_specific_incidence
from recur.statistics.cox import survival_at
from recur.statistics.linear_predictor import clinical_terms, linear_sum


def linear_predictor(
    model: dict[str, Any],
    clinical: pd.DataFrame,
    score: np.ndarray | None,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Linear predictor (n,) of a frozen model; 0 is the mean training patient. score is the signature's, if used.

    Missing cells get the frozen conditional means; with rng, one stochastic imputation. Of a stratified model it holds
    the stratum's part (recur.predict.strata) and is NaN in a stratum without a baseline hazard.
    """
    coef, mean = ([column[key] for column in model["terms"]] for key in ("coef", "mean"))
    return linear_sum(applied_design(model, clinical, score, rng), coef, mean) + offsets(model, clinical)


def competing_predictor(model: dict[str, Any], clinical: pd.DataFrame, score: np.ndarray | None) -> np.ndarray:
    """Linear predictor (n,) of the competing event's hazard."""
    competing_model = {"terms": model["competing"]["terms"], "imputer": model["imputer"]}
    return linear_predictor(competing_model, clinical, score)


def applied_design(
    model: dict[str, Any],
    clinical: pd.DataFrame,
    score: np.ndarray | None,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """The columns (n, p) of a frozen model's terms for any rows, missing cells filled by its imputer."""
    return design(complete(clinical, model["imputer"], rng), model["terms"], score)


def risk_at(
    model: dict[str, Any],
    lp: np.ndarray,
    months: float,
    lp_competing: np.ndarray | None = None,
    strata: np.ndarray | None = None,
) -> np.ndarray:
    """Predicted probability (n,) of the event by a time, 1 - S0(t)^exp(lp).

    A model with a competing event gives the cumulative incidence, for which it needs the predictor (n,) of that event.
    A stratified one needs the strata (n,) of the patients (recur.predict.strata.strata_of). NaN beyond the training
    follow-up, of the stratum, or where a frozen model has too
    few training patients (recur.predict.support): the baseline is not extrapolated.
    """
    if "strata" in model:
        if strata is None:
            raise ValueError("a stratified model needs the strata of the patients")
        risk = np.full(len(lp), np.nan)
        for level in model["strata"]["levels"]:
            in_stratum = np.asarray(strata) == level["stratum"]
            stratum_competing = None if lp_competing is None else lp_competing[in_stratum]
            risk[in_stratum] = risk_at(of_stratum(model, level), lp[in_stratum], months, stratum_competing)
        return risk
    if months > last_month(model):
        return np.full(len(lp), np.nan)
    if "competing" in model:
        if lp_competing is None:
            raise ValueError("a model with a competing event needs the linear predictor of that event")
        hazards = [
            (part["time"], -np.log(part["survival"])) for part in (model["baseline"], model["competing"]["baseline"])
        ]
        return cause_specific_incidence(*hazards, lp, lp_competing, [months])[:, 0]
    baseline = survival_at(model["baseline"]["time"], model["baseline"]["survival"], months)
    return 1 - baseline ** np.exp(lp)


def risk_group(model: dict[str, Any], lp: np.ndarray) -> np.ndarray:
    """`low` or `high` (n,) by the frozen cut-point; `all` where the model has none."""
    if model["cutpoint"] is None:
        return np.full(len(lp), "all", object)
    return np.where(lp > model["cutpoint"]["lp"], "high", "low").astype(object)


def complete_cases(model: dict[str, Any], clinical: pd.DataFrame) -> np.ndarray:
    """(n,) whether a row has every clinical value that the model uses."""
    return clinical.reindex(columns=clinical_terms(model["terms"])).notna().all(axis=1).to_numpy()
