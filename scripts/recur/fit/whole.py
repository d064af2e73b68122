"""The whole fit as one function of the training rows: what a resample repeats and what a held-out row never enters."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from recur.cohort.training import Training
from recur.fit.models import fit_models
from recur.fit.signature import build_signature, second_stage_scores
from recur.fit.stability import stability
from recur.predict.apply import apply_model
from recur.predict.model import linear_predictor
from recur.predict.signature import signature_scores
from recur.statistics.estimate import NotEstimable


class Frozen(NamedTuple):
    """Everything that was learnt, JSON-ready where it is applied later."""

    signature: dict[str, Any] | None
    models: dict[str, dict[str, Any]]


def fit(train: Training, settings: dict[str, Any], seed: int) -> Frozen:
    """Stability filter -> ranking -> elastic net -> Cox models -> cut-points, from training rows and a seed only.

    The rules `stability`, `signature` and `models` call the same pieces on the same rows (a test holds their JSON
    equal); every bootstrap resample and every outer fold of the nested cross-validation calls this function whole.
    """
    signature = None
    score = None
    if train.names:
        icc = stability(train, settings["stability"])
        signature, _ = build_signature(train, icc, settings, seed)
        score = second_stage_scores(train, signature, settings, seed)
    return Frozen(signature, fit_models(train, score, settings, seed))


def predict(
    frozen: Frozen, clinical: pd.DataFrame, features: np.ndarray, names: list[str], centre: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Linear predictor (n,) of every frozen model for any rows; nothing is fitted. Raises NotEstimable for a stratum
    that was not among the rows of the fit.
    """
    score = None
    if frozen.signature is not None:
        score = signature_scores(frozen.signature, features, names, centre)
    return known_strata({name: linear_predictor(model, clinical, score) for name, model in frozen.models.items()})


def known_strata(predictors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The linear predictors (n,) of models; raises NotEstimable where a patient has none."""
    if any(np.isnan(lp).any() for lp in predictors.values()):
        raise NotEstimable("a stratum of those who are predicted has no patients among those who are fitted on")
    return predictors


def apply(frozen: Frozen, rows: Training) -> dict[str, pd.DataFrame]:
    """What predict.apply.apply_model gives of every frozen model for the rows, beside their time, event, and competing
    event; nothing is fitted. Raises NotEstimable as predict.
    """
    score = None
    if frozen.signature is not None:
        score = signature_scores(frozen.signature, rows.features, rows.names, rows.centre)
    known = {"time": rows.outcome.pair_times, "event": rows.outcome.event}
    if rows.outcome.competing is not None:
        known["competing"] = rows.outcome.competing
    clinical = rows.clinical.reset_index(drop=True)
    risks = {name: apply_model(model, clinical, score).assign(**known) for name, model in frozen.models.items()}
    known_strata({name: frame["lp"].to_numpy() for name, frame in risks.items()})
    return risks
