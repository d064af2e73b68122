"""Floors 4 and 5: stable features, ranking, and the elastic-net Cox or logistic signature, from training rows only."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from recur.cohort.training import Training
from recur.fit.ranking import classifier_importance, forest_importance, mrmr, without_redundant
from recur.statistics.agreement import icc_2_1
from recur.statistics.combat import apply_combat, frozen_combat, learn_combat, usable_in_every_centre
from recur.statistics.concordance import doubled_ranks, somers_d
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
from recur.statistics.scaling import learn_scaling, scaling_of

ICC_COLUMNS = ["feature", "n", "icc", "lower", "upper", "stable", "readings", "source"]
RANKING_COLUMNS = ["feature", "mrmr_rank", "mrmr_score", "forest_rank", "forest_importance", "selected"]


def stability(train: Training, settings: dict[str, Any]) -> pd.DataFrame:
    """ICC(2,1) between readings per feature, and which features pass (ICC_COLUMNS); empty when the filter is off."""
    rule, twice = settings["rule"], train.read_twice
    if rule == "none" or twice.sum() < settings["min_patients"]:
        return pd.DataFrame(columns=ICC_COLUMNS)
    ratings = np.concatenate([train.features[twice, None, :], train.repeats[twice]], axis=1)
    table = icc_2_1(ratings)
    value = table["icc"] if rule == "point" else table["lower"]
    table = table.assign(feature=train.names, n=int(twice.sum()), stable=(value >= settings["threshold"]).to_numpy())
    # perturbed images are no readers: the table says whose readings these are
    table = table.assign(readings=ratings.shape[1], source=settings.get("source", "readers"))
    return table[ICC_COLUMNS]


def decided(train: Training, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with the stability filter on or off for good: folds and resamples must do as the whole data does."""
    rule = settings["stability"]
    if rule["rule"] != "none" and train.read_twice.sum() >= rule["min_patients"]:
        return settings | {"stability": rule | {"min_patients": 3}}
    return settings | {"stability": rule | {"rule": "none"}}


def usable_columns(train: Training, icc: pd.DataFrame) -> np.ndarray:
    """Indices of features that passed the stability filter and vary in training, in the order of their names.

    Ties of the rankings, trees and sums would otherwise follow the order of a table's columns.
    """
    stable = icc["stable"].to_numpy(bool) if len(icc) else np.ones(len(train.names), bool)
    spread = train.features.std(axis=0)
    usable = np.flatnonzero(stable & (spread > 1e-12 * np.abs(train.features).max(axis=0, initial=0)))
    return usable[np.argsort(np.array(train.names, str)[usable], kind="stable")]


def rank(train: Training, columns: np.ndarray, settings: dict[str, Any], seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Columns that go on to the elastic net, and the table of both rankings (empty when ranking is off)."""
    ranking, rho, weight = settings["ranking"], settings["redundancy"]["spearman"], train.weight
    if rho is not None and len(columns):
        ranks = doubled_ranks(train.features[:, columns])
        relevance = np.abs(somers_d(ranks, train.time, train.event, weight))
        columns = columns[without_redundant(ranks, relevance, rho)]
    if ranking["kind"] == "none" or not len(columns):
        return columns, pd.DataFrame(columns=RANKING_COLUMNS)
    names, keep = [train.names[column] for column in columns], ranking["keep"]
    x = train.features[:, columns]
    chosen = mrmr(x, names, train.time, train.event, keep, weight)
    options = (ranking["trees"], ranking["min_samples_leaf"], ranking["permutations"], seed)
    if train.binary:
        importance = classifier_importance(standardised(x)[0], train.event, *options, weight)
    else:
        importance = forest_importance(standardised(x)[0], train.time, train.event, *options)
    order = sorted(range(len(names)), key=lambda i: (-importance[i], names[i]))
    table = pd.DataFrame({"feature": names, "forest_importance": importance})
    table["forest_rank"] = pd.Series(np.argsort(order) + 1, index=table.index)
    table["mrmr_rank"], table["mrmr_score"] = pd.array([pd.NA] * len(names), dtype="Int64"), np.nan
    for place, (column, score) in enumerate(chosen):
        table.loc[column, ["mrmr_rank", "mrmr_score"]] = place + 1, score
    by_mrmr, by_forest = table["mrmr_rank"].notna(), table["forest_rank"] <= keep
    table["selected"] = np.select([by_mrmr & by_forest, by_mrmr, by_forest], ["both", "mrmr", "forest"], "none")
    return columns[(by_mrmr | by_forest).to_numpy()], table[RANKING_COLUMNS]


def standardised(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns with mean 0 and SD 1 (1/n, as glmnet), and the means and SDs."""
    mean, sd = x.mean(axis=0), x.std(axis=0)
    return (x - mean) / sd, mean, sd


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
        "n": len(train.time),
        "events": int(train.event.sum()),
        "n_candidates": len(columns),
        "l1_ratio": options["l1_ratio"],
        "transform": options["transform"],
        "winsorise_sd": options["winsorise_sd"],
        "lambda": None,
        "harmonisation": frozen_combat(combat, np.zeros(0, int), settings["harmonisation"]),
    }
    if not len(columns):
        return signature, trace
    raw = train.features[:, columns]
    learn = partial(learn_scaling, kind=options["transform"], limit=options["winsorise_sd"])
    scaling = learn(raw)
    x = scaling.apply(raw)
    # glmnet's own folds only scale what was standardised before; a transform and a limit are learnt again in each fold
    learns_again = options["transform"] != "none" or options["winsorise_sd"] is not None
    relearn = learn if learns_again else None
    folded = raw if learns_again else x
    event, l1_ratio = train.event.astype(bool), options["l1_ratio"]
    if train.binary:
        family = logistic_family(event, train.weight)
    else:
        family = cox_family(train.time, event, options["cox_ties"])
    lambdas = lambda_grid(x, family, l1_ratio, options["lambdas"], options["lambda_min_ratio"])
    penalty = Penalty(l1_ratio, lambdas)
    fold = grouped_folds(train.patient_id, event, options["folds"], np.random.default_rng([seed, 1]))
    deviance, error = cross_validate(folded, family, penalty, fold, relearn)
    path = elastic_net_path(x, family, penalty)
    chosen = choose_lambda(deviance, error, options["lambda_rule"])
    names = np.array(train.names, object)[columns]
    marks = np.full(len(lambdas), "", object)
    marks[choose_lambda(deviance, error, "1se")] = "1se"
    marks[choose_lambda(deviance, error, "min")] = "min"
    trace["cv_deviance"] = pd.DataFrame(
        {"lambda": lambdas, "deviance": deviance, "se": error, "n_nonzero": (path != 0).sum(axis=0), "chosen": marks}
    )
    entered = (path != 0).any(axis=1)
    trace["lasso_path"] = pd.DataFrame(
        {
            "lambda": np.tile(lambdas, entered.sum()),
            "feature": np.repeat(names[entered], len(lambdas)),
            "coef": path[entered].ravel(),
        }
    )
    weights = path[:, chosen]
    signature["lambda"] = float(lambdas[chosen])
    kept = sorted(np.flatnonzero(weights), key=lambda j: (-abs(weights[j]), names[j]))
    signature["features"] = [{"name": str(names[j]), "weight": float(weights[j])} | scaling.frozen(j) for j in kept]
    place = {column: j for j, column in enumerate(usable)}
    own = np.array([place[columns[j]] for j in kept], int)
    signature["harmonisation"] = frozen_combat(combat, own, settings["harmonisation"])
    return signature, trace


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


def signature_scores(
    signature: dict[str, Any], features: np.ndarray, names: list[str], centre: np.ndarray | None = None
) -> np.ndarray:
    """Score (n,) of each row of features (n, p): the weighted sum of z-scored features, 0 for an empty signature.

    centre (n,) is needed by a harmonised signature only.
    """
    place = {name: j for j, name in enumerate(names)}
    x = features[:, [place[feature["name"]] for feature in signature["features"]]]
    x = apply_combat(signature["harmonisation"], x, centre)
    z = scaling_of(signature["features"], signature["winsorise_sd"]).apply(x)
    score = np.zeros(len(features))
    for j, feature in enumerate(signature["features"]):
        score += feature["weight"] * z[:, j]
    return score


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
        feature, others = ranks[:, j + 1], np.delete(ranks, [0, j + 1], axis=1)
        result.loc[j, "volume_rho"] = np.corrcoef(feature, ranks[:, 0])[0, 1]
        if len(ranks) - others.shape[1] > 3:
            both = np.column_stack([feature, ranks[:, 0]])
            left = both - others @ np.linalg.lstsq(others, both, rcond=None)[0]
            result.loc[j, "volume_partial_rho"] = np.corrcoef(left.T)[0, 1]
    return result


def out_of_fold_scores(train: Training, settings: dict[str, Any], seed: int) -> np.ndarray:
    """Score (n,) of every training row by a signature built without its patient (stability, ranking and all)."""
    settings, rng = decided(train, settings), np.random.default_rng([seed, 2])
    fold = grouped_folds(train.patient_id, train.event, settings["second_stage"]["folds"], rng)
    score = np.zeros(len(train.time))
    for number in np.unique(fold):
        part = train.rows(np.flatnonzero(fold != number))
        signature, _ = build_signature(part, stability(part, settings["stability"]), settings, seed)
        held = fold == number
        score[held] = signature_scores(signature, train.features[held], train.names, centre_of(train, held))
    return score


def centre_of(train: Training, rows: np.ndarray) -> np.ndarray | None:
    """Centres of the rows, where they are known."""
    return None if train.centre is None else train.centre[rows]
