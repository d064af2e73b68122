"""Frozen models applied to any rows, as the tables that are judged. Nothing is fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit

from recur.predict.model import (
    competing_predictor,
    linear_predictor,
    risk_at,
    risk_group,
)
from recur.predict.signature import signature_scores
from recur.predict.strata import strata_of

KEPT = (
    "patient_id",
    "cohort",
    "time",
    "follow_up",
    "event",
    "competing",
)  # of the rows of an analysis, in every risks table


def apply_model(model: dict[str, Any], clinical: pd.DataFrame, score: np.ndarray | None) -> pd.DataFrame:
    """A frozen model on any rows: lp, group, risk_<months>; with a competing event also lp_competing; of a logistic
    model one risk; of a stratified one also the stratum.
    """
    result = pd.DataFrame({"lp": linear_predictor(model, clinical, score)}, index=clinical.index)
    result["group"] = risk_group(model, result["lp"].to_numpy())
    competing_lp = None
    if "competing" in model:
        competing_lp = competing_predictor(model, clinical, score)
        result["lp_competing"] = competing_lp
    strata = None
    if "strata" in model:
        strata = strata_of(clinical, model["strata"]["variables"])
    if strata is not None:
        result["stratum"] = strata
    for months in model["horizons_months"]:
        result[f"risk_{months:g}"] = risk_at(model, result["lp"].to_numpy(), months, competing_lp, strata)
    if "intercept" in model:
        result["risk"] = expit(model["intercept"] + result["lp"].to_numpy())
    return result


def apply_models(
    models: dict[str, dict[str, Any]],
    signature: dict[str, Any] | None,
    frame: pd.DataFrame,
    features: np.ndarray,
    names: list[str],
) -> pd.DataFrame:
    """Every frozen model on every row: model, patient_id, cohort, time, event, lp, group, risk_<months>.

    A patient of a stratum that the training rows did not have (recur.predict.strata) has no row of that model.
    Where the endpoint has a competing event also competing (0/1) and lp_competing, the predictor of its hazard; the
    risks are then cumulative incidences.
    """
    centre = None
    if "centre" in frame:
        centre = frame["centre"].fillna("").to_numpy(object)
    score = None
    if signature is not None:
        score = signature_scores(signature, features, names, centre)
    known = [name for name in KEPT if name in frame]
    parts = []
    for name, model in models.items():
        part = pd.concat([frame[known], apply_model(model, frame, score)], axis=1)
        part = part[part["lp"].notna()]
        part.insert(0, "model", name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def predicted_risks(model: dict[str, Any], part: pd.DataFrame, times: ArrayLike) -> np.ndarray:
    """Predicted risks (n, J) of the rows of a risks table at several times."""
    lp = part["lp"].to_numpy()
    competing_lp = None
    if "competing" in model:
        competing_lp = part["lp_competing"].to_numpy()
    strata = None
    if "strata" in model:
        strata = part["stratum"].to_numpy(object)
    return np.column_stack([risk_at(model, lp, months, competing_lp, strata) for months in np.atleast_1d(times)])
