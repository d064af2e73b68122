"""Whether the training rows can carry the analyses, and what a reader would not expect of them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from recur.check.candidates import horizon_findings, strata_problems, term_problems, term_warnings
from recur.check.images import said_of_masks
from recur.cohort.clinical import Cohort
from recur.cohort.exclusions import why_gone
from recur.cohort.split import assign_all
from recur.cohort.time_units import horizon_warnings
from recur.study.endpoints import EVENT
from recur.study.facts import outcome_kind, timed_endpoint, uses_features
from recur.study.parameters import smaller_class, too_few_events
from recur.study.settings import analysis_settings
from recur.vocabulary import TRAIN


def training_problems(study: dict[str, Any], cohort: Cohort) -> list[str]:
    """What no analysis can be fitted or judged on: training patients without enough events, held-out ones without any,
    or a term that never varies.
    """
    assigned = assign_all(study, cohort.clinical, cohort.cells, cohort.excluded)
    problems = []
    for name, analysis in study["analyses"].items():
        split = f"cohort_{name}"
        cohorts = assigned[split if split in assigned else "cohort"]
        train = (cohorts == TRAIN).to_numpy()
        endpoint = analysis["endpoint"]
        settings = analysis_settings(study, name)
        problems += candidate_findings(study, cohort, cohorts, name)[0]
        if outcome_kind(study, name) == "categories":
            continue
        occurred = cohort.endpoints[f"{endpoint}_event"] == EVENT
        events = int(occurred[train].sum())
        if outcome_kind(study, name) == "binary":
            events = smaller_class(cohort.endpoints[f"{endpoint}_event"][train].dropna())
        problems += [
            f"endpoint {endpoint}: none of the {len(part)} patients of {held} has the event"
            for held, part in occurred.groupby(cohorts.to_numpy())
            if held not in (TRAIN, "") and not part.any()
        ]
        if events == 0:
            problems.append(f"endpoint {endpoint}: none of the {train.sum()} training patients has the event")
            problems += why_gone(cohort.left_out[endpoint], f"left out of endpoint {endpoint}")
        else:
            problems += too_few_events(settings, name, events, uses_features(study, name))
    return list(dict.fromkeys(problems))


def training_warnings(study: dict[str, Any], cohort: Cohort) -> list[str]:
    """What can be fitted, but not as a reader would expect: levels without events, horizons beyond the follow-up."""
    assigned = assign_all(study, cohort.clinical, cohort.cells, cohort.excluded)
    warnings = []
    for name in study["analyses"]:
        split = f"cohort_{name}"
        cohorts = assigned[split if split in assigned else "cohort"]
        warnings += candidate_findings(study, cohort, cohorts, name)[1]
    warnings += horizon_warnings(study["horizons_months"], cohort.endpoints.filter(regex="_time$"))
    warnings += said_of_masks(study)
    return list(dict.fromkeys(warnings))


def candidate_findings(
    study: dict[str, Any], cohort: Cohort, cohorts: pd.Series, analysis: str
) -> tuple[list[str], list[str]]:
    """Problems and warnings of the candidates, strata and horizons of an analysis (recur.check.candidates).

    cohorts: the cohort of every patient of cohort.clinical.
    """
    kind, settings = outcome_kind(study, analysis), analysis_settings(study, analysis)
    endpoint = study["analyses"][analysis]["endpoint"]
    candidates = settings["candidates"]
    code = cohort.endpoints[f"{endpoint}_{'level' if kind == 'categories' else 'event'}"]
    # who is censored before the horizon of a binary outcome stays in training: the others are weighted for them
    follows = cohort.endpoints.get(f"{endpoint}_follow_up")
    has_outcome = code.notna() if follows is None else follows.notna()
    train = ((cohorts == TRAIN) & has_outcome).to_numpy()
    clinical = cohort.clinical[train]
    outcome = code[train]
    problems, warnings = [], []
    for term in candidates["pre"] + candidates["post"]:
        variable = settings["variables"][term]
        problems += term_problems(term, variable, clinical[term], analysis)
        warnings += term_warnings(term, variable, clinical[term], outcome, kind)
    problems += strata_problems(candidates["strata"], settings["variables"], clinical, outcome)
    times = cohort.endpoints.get(f"{endpoint}_time", follows)
    if times is None:
        return problems, warnings
    timed = timed_endpoint(study, analysis)
    horizons = study["horizons_months"] if kind == "survival" else [timed["horizon_months"]]
    too_short, not_reached = horizon_findings(times, cohorts.where(has_outcome, ""), horizons, analysis)
    return problems + too_short, warnings + not_reached
