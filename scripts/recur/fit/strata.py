"""The baseline hazards of a Cox model and of its strata, learnt from training rows (see recur.predict.strata)."""

from __future__ import annotations

from typing import Any

import numpy as np

from recur.cohort.training import Training
from recur.predict.strata import UNKNOWN, strata_of
from recur.statistics.cox import baseline_survival, survival_at
from recur.statistics.estimate import NotEstimable
from recur.study.coding import levels_of


def declared_strata(names: list[str], variables: dict[str, Any]) -> list[dict[str, Any]]:
    """What tells a patient's stratum, JSON-ready: term, label and levels of each variable."""
    return [
        {"term": name, "label": variables[name]["label"] or name, "levels": levels_of(variables[name])}
        for name in names
    ]


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
    baselines = {}
    for name in sorted(set(strata)):
        in_stratum = strata == name
        if event[in_stratum].any():
            baselines[name] = mean_baseline([x[in_stratum] for x in designs], time[in_stratum], event[in_stratum], coef)
        else:
            baselines[name] = np.zeros(0), np.zeros(0)
    return baselines


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
        in_stratum = strata == name
        offset = float(np.log(hazard[name]) - middle)
        levels.append(
            {"stratum": name, "offset": offset, "time": times.tolist()}
            | {"survival": (survival ** np.exp(-offset)).tolist(), "follow_up_months": float(time[in_stratum].max())}
            | {"n": int(in_stratum.sum()), "events": int(event[in_stratum].sum())}
        )
    return {"at_months": float(at), "levels": levels}


def with_strata(train: Training, settings: dict[str, Any]) -> Training:
    """The training rows with the strata that the models with clinical terms have; the same rows without any."""
    names = settings["candidates"].get("strata")
    if not names:
        return train
    return train._replace(strata=strata_of(train.clinical, declared_strata(names, settings["variables"])))
