"""The model of a competing event, beside that of the event: absolute risks need both."""

from __future__ import annotations

from typing import Any

import numpy as np

from recur.cohort.training import Training
from recur.fit.regression import likelihood_of, pooled_fit
from recur.fit.separation import blame
from recur.fit.strata import stratum_baselines
from recur.statistics import logistic
from recur.statistics.estimate import NotEstimable

MIN_COMPETING_EVENTS = 5  # a column, for the competing event to have covariates


def competing_parts(
    designs: list[np.ndarray], columns: list[dict[str, Any]], main: dict[str, Any], train: Training, separated: str
) -> dict[str, Any]:
    """The parts of a model that its competing event adds or changes; the baseline stands with the stratum, if any."""
    model, baselines = competing_model(designs, columns, train, separated)
    if "strata" not in main:
        return {"competing": model | {"baseline": baselines[""]}}
    levels = [level | {"competing": baselines[level["stratum"]]} for level in main["strata"]["levels"]]
    return {"competing": model | {"baseline": None}, "strata": main["strata"] | {"levels": levels}}


def competing_model(
    designs: list[np.ndarray], columns: list[dict[str, Any]], train: Training, separated: str
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Cause-specific Cox model of the competing event on the columns of the main one: terms, events, reason,
    likelihood; and its baseline by stratum (without strata that of "").

    The signature's weight in it is free: it was built for the other event, and may well be protective of this one.
    Absolute risks need it (docs/methods.md 6.4). Without covariates, with the reason, where fewer than
    MIN_COMPETING_EVENTS events a column or columns without an estimate forbid them.
    """
    deaths = train._replace(outcome=train.outcome._replace(event=np.asarray(train.outcome.competing)))
    mean = np.array([column["mean"] for column in columns])
    events = int(train.outcome.competing.sum())
    reason = ""
    if events < MIN_COMPETING_EVENTS * len(columns):
        reason = f"no covariates: {events} competing events for {len(columns)} columns"
    try:
        if not reason:
            result = pooled_fit([x - mean for x in designs], deaths, separated)
        else:
            result = {}
    except NotEstimable as error:
        result = {}
        reason = f"no covariates: {error}{blame(designs[-1], columns, deaths.outcome.event)}"
    if not result:
        columns = []
        mean = mean[:0]
        designs = [x[:, :0] for x in designs]
        result = {"coef": np.zeros(0), "se": np.zeros(0), "method": logistic.ML}
    if train.strata is None:
        strata = np.full(len(train.patient_id), "")
    else:
        strata = train.strata
    steps = stratum_baselines(
        [x - mean for x in designs], train.outcome.time, deaths.outcome.event, result["coef"], strata
    )
    baselines = {
        name: {"time": times.tolist(), "survival": survival.tolist()} for name, (times, survival) in steps.items()
    }
    terms = [
        column | {"coef": float(coef), "se": float(se)}
        for column, coef, se in zip(columns, result["coef"], result["se"], strict=True)
    ]
    return {"terms": terms, "events": events, "reason": reason} | likelihood_of(result["method"]), baselines
