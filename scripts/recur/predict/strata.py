"""Strata of a Cox model: levels of clinical variables, each with a baseline hazard of its own (R strata()).

The coefficients are those of the stratified partial likelihood. Linear predictors of two strata would not be
comparable, so a frozen model adds to each the log of its stratum's cumulative baseline hazard at one time, less the
mean over training patients; the baselines are divided by the same. No risk changes by it, and the linear predictor
ranks all patients by their risk at that time: one cut-point, one C.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.statistics.cox import baseline_survival, survival_at
from recur.statistics.estimate import NotEstimable
from recur.study.coding import levels_of

UNKNOWN = ""  # the stratum of a patient who has no value


def declared_strata(names: list[str], variables: dict[str, Any]) -> list[dict[str, Any]]:
    """What tells a patient's stratum, JSON-ready: term, label and levels of each variable."""
    return [
        {"term": name, "label": variables[name]["label"] or name, "levels": levels_of(variables[name])}
        for name in names
    ]


def strata_of(clinical: pd.DataFrame, declared: list[dict[str, Any]]) -> np.ndarray:
    """The stratum of every row (n,), such as `Centre = A, Sex = man`; empty where a variable is missing."""
    parts = []
    for item in declared:
        names = {float(code): f"{item['label']} = {level}" for code, level in enumerate(item["levels"])}
        cells = clinical[item["term"]] if item["term"] in clinical else pd.Series(np.nan, index=clinical.index)
        parts.append(cells.map(names))
    table = pd.concat(parts, axis=1)
    texts = table.fillna("").agg(", ".join, axis=1)
    return texts.where(table.notna().all(axis=1), UNKNOWN).to_numpy(object)


def mean_baseline(
    designs: list[np.ndarray], time: np.ndarray, event: np.ndarray, coef: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Event times (J,) and baseline survival (J,) at x = 0, the mean hazard over the designs of all imputations."""
    steps = [baseline_survival(x, time, event, coef) for x in designs]
    return steps[0][0], np.exp(np.mean([np.log(survival) for _, survival in steps], axis=0))


def stratum_baselines(
    designs: list[np.ndarray], time: np.ndarray, event: np.ndarray, coef: np.ndarray, strata: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """mean_baseline of every stratum; a stratum without an event keeps no step."""
    found = {}
    for name in sorted(set(strata)):
        own = strata == name
        if event[own].any():
            found[name] = mean_baseline([x[own] for x in designs], time[own], event[own], coef)
        else:
            found[name] = np.zeros(0), np.zeros(0)
    return found


def learn_strata(
    baselines: dict[str, tuple[np.ndarray, np.ndarray]],
    time: np.ndarray,
    event: np.ndarray,
    strata: np.ndarray,
    months: float,
) -> dict[str, Any]:
    """The strata of a frozen model: at_months, and of each level offset, time, survival, follow_up_months, n, events.

    at_months is `months`, or later where a stratum has no event by then. Raises NotEstimable where a patient has no
    stratum, or a stratum no event.
    """
    if (strata == UNKNOWN).any():
        raise NotEstimable(f"{(strata == UNKNOWN).sum()} patients have no stratum: the variable is missing")
    never = [name for name in baselines if not event[strata == name].any()]
    if never:
        raise NotEstimable(f"no event in the stratum {', '.join(never)}: it has no baseline hazard")
    at = max(months, *(times[0] for times, _ in baselines.values()))
    hazard = {name: float(-np.log(survival_at(*steps, at))) for name, steps in baselines.items()}
    middle = np.mean([np.log(hazard[name]) for name in strata])
    levels = []
    for name, (times, survival) in baselines.items():
        own, offset = strata == name, float(np.log(hazard[name]) - middle)
        levels.append(
            {"stratum": name, "offset": offset, "time": times.tolist()}
            | {"survival": (survival ** np.exp(-offset)).tolist(), "follow_up_months": float(time[own].max())}
            | {"n": int(own.sum()), "events": int(event[own].sum())}
        )
    return {"at_months": float(at), "levels": levels}


def offsets(model: dict[str, Any], clinical: pd.DataFrame) -> np.ndarray:
    """What each row's stratum adds to its linear predictor (n,): NaN in a stratum without a baseline hazard."""
    if "strata" not in model:
        return np.zeros(len(clinical))
    known = {level["stratum"]: level["offset"] for level in model["strata"]["levels"]}
    strata = strata_of(clinical, model["strata"]["variables"])
    return np.array([known.get(name, np.nan) for name in strata], float)


def of_stratum(model: dict[str, Any], level: dict[str, Any]) -> dict[str, Any]:
    """The model of the patients of one stratum, as if it had no other."""
    whole = {key: value for key, value in model.items() if key != "strata"}
    if "competing" in model:
        whole["competing"] = model["competing"] | {"baseline": level["competing"]}
    own = {key: level[key] for key in ("follow_up_months", "supported_months") if key in level}
    return whole | {"baseline": level} | own
