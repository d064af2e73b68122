"""What can be seen of candidates, strata and horizons before anything is fitted, from training rows.

Problems stop the run: no effect, or no risk, can be estimated. Warnings are said: an estimate will be odd.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.fit.design import spline_knots
from recur.statistics.estimate import NotEstimable
from recur.study.coding import levels_of
from recur.study.endpoints import EVENT
from recur.vocabulary import TRAIN


def term_problems(name: str, variable: dict[str, Any], values: pd.Series, analysis: str) -> list[str]:
    """Why a candidate has no effect to estimate: it is constant, its reference empty, a spline has too few values."""
    place = f"clinical.variables.{name}"
    known = values.dropna()
    if not len(known):
        return [f"{place}: no value in any of the {len(values)} training patients of {analysis}; take it out"]
    if known.nunique() < 2:
        return [
            f"{place}: the same value in all {len(values)} training patients of {analysis}; "
            "no effect can be estimated, take it out of the candidates"
        ]
    if variable["kind"] == "categorical" and not (known == 0).any():
        return [
            f"{place}: no training patient of {analysis} has the reference level {variable['levels'][0]!r}, so that no "
            "other level can be compared with it; put a level that occurs first in `levels`"
        ]
    if variable["transform"] == "rcs":
        count = variable["knots"]
        try:
            knots_placed = len(spline_knots(known.to_numpy(float), count))
        except NotEstimable:
            knots_placed = 0
        if knots_placed < count:
            return [
                f"{place}: {known.nunique()} distinct values in the training patients of {analysis} are too few, or "
                f"too often the same, for {count} knots; fewer knots, or transform: none"
            ]
    return []


def term_warnings(name: str, variable: dict[str, Any], values: pd.Series, outcome: pd.Series, kind: str) -> list[str]:
    """Levels of a candidate that no training patient has, or all of whose patients have one outcome.

    outcome (n,): code of the event or level, NaN where it is not known; kind is survival, binary or categories.
    """
    place = f"clinical.variables.{name}"
    names = levels_of(variable)
    known = values.notna() & outcome.notna()
    empty = [text for code, text in enumerate(names) if not (values == code).any()]
    warnings = []
    if variable["kind"] == "categorical" and empty:
        warnings.append(
            f"{place}: no training patient has the level {listed(empty)}; the models take it for the reference "
            f"{names[0]!r}"
        )
    for code, text in enumerate(names):
        outcomes = outcome[known & (values == code)]
        if len(outcomes) and (missing := missing_outcome(outcomes, outcome, kind)):
            warnings.append(
                f"{place}: {missing} among the {len(outcomes)} training patients of level {text!r}; its effect is "
                "infinite or rests on a penalty: merge it with another level"
            )
    return warnings


def missing_outcome(outcomes: pd.Series, everyone: pd.Series, kind: str) -> str:
    """Which outcome that others have a level's patients lack: of a survival outcome the event."""
    if kind == "survival":
        return "" if (outcomes == EVENT).any() else "no event"
    lacking = sorted(set(everyone.dropna()) - set(outcomes))
    if not lacking:
        return ""
    if kind == "binary":
        return "no event" if EVENT in lacking else "nobody without the event"
    return f"no outcome at place {listed([f'{code + 1:g}' for code in lacking])} of the endpoint's levels"


def listed(texts: list[str]) -> str:
    return ", ".join(texts)


def strata_problems(names: list[str], variables: dict[str, Any], clinical: pd.DataFrame, event: pd.Series) -> list[str]:
    """Strata of which training has one only, or that have no event there: no baseline hazard can be estimated."""
    if not names:
        return []
    known = clinical[names].notna().all(axis=1)
    strata = clinical.loc[known, names]
    occurred = event[known] == EVENT
    place = f"candidates.strata ({listed(names)})"
    if not known.all():
        who = listed(list(clinical.loc[~known, "patient_id"].astype(str)[:3]))
        return [
            f"{place}: missing in {(~known).sum()} training patients ({who}); a baseline hazard is never filled in: "
            "complete the cells, or leave these patients out by clinical.eligibility"
        ]
    if len(strata.drop_duplicates()) < 2:
        return [f"{place}: one stratum in training; take it out"]
    problems = []
    for codes, part in occurred.groupby([strata[name] for name in names]):
        if not part.any():
            levels = zip(names, codes, strict=True)
            text = listed([levels_of(variables[name])[int(code)] for name, code in levels])
            problems.append(
                f"{place}: no event among the {len(part)} training patients of {text!r}, so that it has no baseline "
                "hazard; merge levels, or take it out"
            )
    return problems


def horizon_findings(
    times: pd.Series, cohorts: pd.Series, horizons: list[float], analysis: str
) -> tuple[list[str], list[str]]:
    """Problems and warnings: horizons (months) beyond the last follow-up (n,) of training or of a held-out cohort."""
    problems, warnings = [], []
    for cohort, part in times.groupby(cohorts):
        end = part.max()
        beyond = [f"{months:g}" for months in horizons if months > end]
        if cohort == "" or not beyond or np.isnan(end):
            continue
        text = f"analysis {analysis}: the follow-up of {cohort} ends at {end:.1f} months"
        if cohort != TRAIN:
            warnings.append(f"{text}; nothing can be judged there by {listed(beyond)} months")
        elif len(beyond) == len(horizons):
            problems.append(
                f"{text}, before every horizon ({listed(beyond)}); name one that is reached, or correct the unit of "
                "the times"
            )
        else:
            warnings.append(f"{text}; no risk by {listed(beyond)} months is given")
    return problems, warnings
