"""Predictors that are an outcome in disguise: named so in the study file, or by their values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from recur.study.endpoints import COMPETING, EVENT

NEARLY = 0.99  # |rank correlation| with a time, or AUC for an event (either way round)
PATIENTS, CLASS = 40, 10  # needed to judge a predictor of many values
SCREENED = 125  # rows on which all predictors are judged at once, missing cells filled with the median
WORTH_A_LOOK, MANY_MISSING = (
    0.8,
    0.2,
)  # closeness there, and share of missing cells, from which on a predictor is judged
CODED, CODED_CLASS = 3, 5  # a predictor of so few values is a code; patients of either class to judge it
TIMES = 10  # patients with a time


def outcome_rows(endpoints: pd.DataFrame, horizons: list[float]) -> dict[str, tuple[str, pd.Series]]:
    """What a predictor must not determine: description -> (`rank` or `class`, values by patient, NaN unknown).

    endpoints: patient_id and <endpoint>_time, _event, _level ... (recur.cohort.endpoints.read_endpoints).
    """
    table = endpoints.set_index("patient_id")
    outcomes: dict[str, tuple[str, pd.Series]] = {}
    for column in table:
        values = pd.to_numeric(table[column], errors="coerce").astype(float)
        name, _, kind = column.rpartition("_")
        if kind == "time":
            outcomes[f"the time of {name}"] = ("rank", values)
            event = table.get(f"{name}_event")
            if event is None:
                continue
            happened = event.eq(EVENT).fillna(False).astype(bool)
            outcomes[f"the time of {name} among events"] = ("rank", values.where(happened))
            for months in horizons:
                by_then = (happened & (values <= months)).astype(float)
                known = by_then.eq(1) | (values > months)
                outcomes[f"{name} by {months:g} months"] = ("class", by_then.where(known))
        elif kind == "event":
            outcomes[f"the event of {name}"] = ("class", values.eq(EVENT).astype(float).where(values.notna()))
            if values.eq(COMPETING).any():
                outcomes[f"the competing event of {name}"] = ("class", values.eq(COMPETING).astype(float))
                outcomes[f"any event of {name}"] = ("class", values.gt(0).astype(float).where(values.notna()))
        elif kind == "level":
            for level in sorted(values.dropna().unique()):
                outcomes[f"{name}, level {level:g}"] = ("class", values.eq(level).astype(float).where(values.notna()))
    return outcomes


def determined(predictors: pd.DataFrame, outcomes: dict[str, tuple[str, pd.Series]]) -> list[tuple[str, str, str]]:
    """(predictor, outcome, how closely) of predictors, by patient id, that all but determine an outcome, each once."""
    closest_outcome: dict[str, tuple[str, str, str]] = {}
    for what, (kind, outcome) in outcomes.items():
        y = outcome.reindex(predictors.index).to_numpy()
        for name, text in closest(predictors, y, kind):
            closest_outcome.setdefault(name, (name, what, text))
    return [closest_outcome[name] for name in predictors if name in closest_outcome]


def closest(predictors: pd.DataFrame, y: np.ndarray, kind: str) -> list[tuple[str, str]]:
    """Predictors whose rank correlation with y, or AUC for its classes, is near 1, and how near."""
    known = np.isfinite(y)
    if known.sum() < TIMES or len(np.unique(y[known])) < 2:
        return []
    x, y = predictors.to_numpy(float)[known], y[known]
    thin = slice(None, None, max(1, len(y) // SCREENED))
    names = list(predictors)
    near = []
    for j in np.flatnonzero(screened(x[thin], y[thin], kind)):
        name = names[j]
        value = closeness(x[:, j], y, kind)
        if value >= NEARLY:
            near.append((name, f"{'rank correlation' if kind == 'rank' else 'AUC'} {value:.3f}"))
    return near


def screened(x: np.ndarray, y: np.ndarray, kind: str) -> np.ndarray:
    """Which columns of x (n, p) may determine y (n,): all are ranked at once, which thousands of features need."""
    missing = ~np.isfinite(x)
    often = missing.mean(axis=0) > MANY_MISSING
    if kind == "class" and len(np.unique(y)) < 2:
        return np.ones(x.shape[1], bool)
    usable = np.flatnonzero(~often)
    values = x[:, usable]
    if missing[:, usable].any():
        values = np.where(missing[:, usable], np.nan, values)
        values = np.where(missing[:, usable], np.nanmedian(values, axis=0), values)
    ranks = values.argsort(axis=0, kind="stable").argsort(axis=0) + 1.0  # ties by row: near enough to screen
    if kind == "rank":
        centred = ranks - ranks.mean(axis=0)
        centred_outcome = rankdata(y) - (len(y) + 1) / 2
        scale = np.sqrt((centred**2).sum(axis=0) * (centred_outcome**2).sum())
        near = np.abs(centred_outcome @ centred) >= WORTH_A_LOOK * scale
    else:
        ones = int((y == 1).sum())
        area_of = (ranks[y == 1].sum(axis=0) - ones * (ones + 1) / 2) / (ones * (len(y) - ones))
        near = np.maximum(area_of, 1 - area_of) >= WORTH_A_LOOK
    often[usable[near]] = True
    return often


def closeness(x: np.ndarray, y: np.ndarray, kind: str) -> float:
    """|Rank correlation|, or the AUC the way round in which it is above 0.5, over the rows where x is known."""
    seen = np.isfinite(x)
    if kind == "rank":
        return abs(rank_correlation(x[seen], y[seen]))
    auc = area(x[seen], y[seen])
    return max(auc, 1 - auc)


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rho; 0 where there is too little to judge."""
    if len(x) < TIMES or len(np.unique(x)) < TIMES or len(np.unique(y)) < TIMES:
        return 0.0
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


def area(x: np.ndarray, y: np.ndarray) -> float:
    """AUC of x for y = 1 (Mann-Whitney); 0.5 where there is too little to judge."""
    ones = int((y == 1).sum())
    smaller = min(ones, len(y) - ones)
    coded = len(np.unique(x)) <= CODED and smaller >= CODED_CLASS
    if not coded and (len(x) < PATIENTS or smaller < CLASS):
        return 0.5
    ranks = rankdata(x)
    return float((ranks[y == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(y) - ones)))


def leak_problems(predictors: pd.DataFrame, outcomes: dict[str, Any], place: str, remedy: str) -> list[str]:
    """A line for the predictors (by patient id) that all but determine an outcome; none where all is well."""
    leaks = determined(predictors, outcomes)
    if not leaks:
        return []
    shown = ", ".join(f"{name} ({what}: {text})" for name, what, text in leaks[:3])
    more = f" and {len(leaks) - 3} more" if len(leaks) > 3 else ""
    return [f"{place}: {shown}{more}: equal to an outcome or nearly so, and no predictor; {remedy}"]
