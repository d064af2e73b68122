"""Floor 5: the elastic-net Cox or logistic signature, from training rows only."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from recur.cohort.training import Training
from recur.fit.ranking import rank
from recur.fit.stability import decided, stability, usable_columns
from recur.predict.signature import signature_scores
from recur.statistics.combat import apply_combat, frozen_combat, learn_combat, usable_in_every_centre
from recur.statistics.elastic_net import (
    Penalty,
    choose_lambda,
    cox_family,
    cross_validate,
    elastic_net_path,
    lambda_grid,
    logistic_family,
)
from recur.statistics.folds import grouped_folds
from recur.statistics.outcome import BINARY
from recur.statistics.scaling import Scaling, learn_scaling


class PenalisedPath(NamedTuple):
    """An elastic net over its grid of lambdas (L,), and how well each does in folds of the training rows."""

    lambdas: np.ndarray  # (L,)
    coef: np.ndarray  # (p, L)
    deviance: np.ndarray  # (L,) mean over the folds
    error: np.ndarray  # (L,) its standard error


def build_signature(
    train: Training, icc: pd.DataFrame, settings: dict[str, Any], seed: int
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """The signature (JSON-ready: features with mean, sd and weight per SD) and its trace tables.

    Trace: ranking, lasso_path, cv_deviance. An empty signature is a legal result: no feature, score 0.
    """
    options = settings["signature"]
    usable = usable_columns(train, icc)
    train, usable, combat = harmonised(train, usable, settings["harmonisation"])
    columns, ranking = rank(train, usable, settings, seed)
    trace = {
        "ranking": ranking,
        "lasso_path": pd.DataFrame(columns=["lambda", "feature", "coef"]),
        "cv_deviance": pd.DataFrame(columns=["lambda", "deviance", "se", "n_nonzero", "chosen"]),
    }
    signature = {
        "features": [],
        "n": len(train.patient_id),
        "events": int(train.outcome.event.sum()),
        "n_candidates": len(columns),
        "l1_ratio": options["l1_ratio"],
        "transform": options["transform"],
        "winsorise_sd": options["winsorise_sd"],
        "lambda": None,
        "harmonisation": frozen_combat(combat, np.zeros(0, int), settings["harmonisation"]),
    }
    if not len(columns):
        return signature, trace
    scaling = learn_scaling(train.features[:, columns], kind=options["transform"], limit=options["winsorise_sd"])
    path = penalised_path(train, columns, scaling, options, seed)
    names = np.array(train.names, object)[columns]
    trace |= path_tables(path, names)
    chosen = choose_lambda(path.deviance, path.error, options["lambda_rule"])
    weights = path.coef[:, chosen]
    selected = sorted(np.flatnonzero(weights), key=lambda j: (-abs(weights[j]), names[j]))
    signature["lambda"] = float(path.lambdas[chosen])
    signature["features"] = [{"name": str(names[j]), "weight": float(weights[j])} | scaling.frozen(j) for j in selected]
    place = {column: j for j, column in enumerate(usable)}
    places = np.array([place[columns[j]] for j in selected], int)
    signature["harmonisation"] = frozen_combat(combat, places, settings["harmonisation"])
    return signature, trace


def penalised_path(
    train: Training, columns: np.ndarray, scaling: Scaling, options: dict[str, Any], seed: int
) -> PenalisedPath:
    """The elastic net of the outcome on the scaled columns of the training rows; options: settings signature."""
    raw = train.features[:, columns]
    x = scaling.apply(raw)
    # glmnet's own folds only scale what was standardised before; a transform and a limit are learnt again in each fold
    learns_again = options["transform"] != "none" or options["winsorise_sd"] is not None
    relearn = None
    folded = x
    if learns_again:
        relearn = partial(learn_scaling, kind=options["transform"], limit=options["winsorise_sd"])
        folded = raw
    event = train.outcome.event.astype(bool)
    if train.outcome.kind == BINARY:
        family = logistic_family(event, train.outcome.weight)
    else:
        family = cox_family(train.outcome.time, event, options["cox_ties"])
    lambdas = lambda_grid(x, family, options["l1_ratio"], options["lambdas"], options["lambda_min_ratio"])
    penalty = Penalty(options["l1_ratio"], lambdas)
    fold = grouped_folds(train.patient_id, event, options["folds"], np.random.default_rng([seed, 1]))
    deviance, error = cross_validate(folded, family, penalty, fold, relearn)
    return PenalisedPath(lambdas, elastic_net_path(x, family, penalty), deviance, error)


def path_tables(path: PenalisedPath, names: np.ndarray) -> dict[str, pd.DataFrame]:
    """cv_deviance, a row a lambda with the marks of both rules, and lasso_path of the features (p,) that ever enter."""
    marks = np.full(len(path.lambdas), "", object)
    marks[choose_lambda(path.deviance, path.error, "1se")] = "1se"
    marks[choose_lambda(path.deviance, path.error, "min")] = "min"
    selected = path.coef != 0
    folds = {"lambda": path.lambdas, "deviance": path.deviance, "se": path.error}
    entered = selected.any(axis=1)
    coefficients = {
        "lambda": np.tile(path.lambdas, entered.sum()),
        "feature": np.repeat(names[entered], len(path.lambdas)),
        "coef": path.coef[entered].ravel(),
    }
    return {
        "cv_deviance": pd.DataFrame(folds | {"n_nonzero": selected.sum(axis=0), "chosen": marks}),
        "lasso_path": pd.DataFrame(coefficients),
    }


def harmonised(
    train: Training, usable: np.ndarray, settings: dict[str, Any]
) -> tuple[Training, np.ndarray, dict[str, Any]]:
    """The training rows with their usable columns harmonised, the columns that could be, and the ComBat parameters."""
    if settings["kind"] != "none" and len(usable):
        usable = usable[usable_in_every_centre(train.features[:, usable], train.centre)]
    combat = learn_combat(train.features[:, usable], train.centre, settings)
    if combat["kind"] != "none":
        features = train.features.copy()
        features[:, usable] = apply_combat(combat, train.features[:, usable], train.centre)
        train = train._replace(features=features)
    return train, usable, combat


def volume_correlations(train: Training, signature: dict[str, Any]) -> pd.DataFrame:
    """volume_rho (Spearman) and volume_partial_rho (given the signature's other features) of each of its features with
    the tumour's volume in training; NaN where the volume is unknown or too few patients are left (flag 21).
    """
    names = [feature["name"] for feature in signature["features"]]
    result = pd.DataFrame({"volume_rho": np.nan, "volume_partial_rho": np.nan}, index=range(len(names)))
    if "tumour_volume" not in train.clinical:
        return result
    volume = train.clinical["tumour_volume"].to_numpy(float)
    known = np.isfinite(volume)
    if known.sum() < 10:
        return result
    x = train.features[np.ix_(known, [train.names.index(name) for name in names])]
    ranks = np.column_stack([rankdata(column) for column in [volume[known], *x.T]])
    ranks -= ranks.mean(axis=0)
    for j in range(len(names)):
        feature = ranks[:, j + 1]
        other_features = np.delete(ranks, [0, j + 1], axis=1)
        result.loc[j, "volume_rho"] = np.corrcoef(feature, ranks[:, 0])[0, 1]
        if len(ranks) - other_features.shape[1] > 3:
            both = np.column_stack([feature, ranks[:, 0]])
            left = both - other_features @ np.linalg.lstsq(other_features, both, rcond=None)[0]
            result.loc[j, "volume_partial_rho"] = np.corrcoef(left.T)[0, 1]
    return result


def out_of_fold_scores(train: Training, settings: dict[str, Any], seed: int) -> np.ndarray:
    """Score (n,) of every training row by a signature built without its patient (stability, ranking and all)."""
    settings = decided(train, settings)
    rng = np.random.default_rng([seed, 2])
    fold = grouped_folds(train.patient_id, train.outcome.event, settings["second_stage"]["folds"], rng)
    score = np.zeros(len(train.patient_id))
    for number in np.unique(fold):
        part = train.rows(np.flatnonzero(fold != number))
        signature, _ = build_signature(part, stability(part, settings["stability"]), settings, seed)
        held = fold == number
        score[held] = signature_scores(signature, train.features[held], train.names, centre_of(train, held))
    return score


def centre_of(train: Training, rows: np.ndarray) -> np.ndarray | None:
    """Centres of the rows, where they are known."""
    if train.centre is None:
        return None
    return train.centre[rows]


def second_stage_scores(train: Training, signature: dict[str, Any], settings: dict[str, Any], seed: int) -> np.ndarray:
    """The signature scores (n,) that the second-stage Cox models are fitted on.

    All zero for an empty signature, so that the models fall back to the clinical terms. Out of fold by default; in
    sample (as published, flag 41) inflates the signature's coefficient.
    """
    if not signature["features"] or settings["second_stage"]["scores"] == "in_sample":
        return signature_scores(signature, train.features, train.names, train.centre)
    return out_of_fold_scores(train, settings, seed)
