"""What single analyses of a study have: their outcome, competing events, ablations, jobs."""

from __future__ import annotations

import json
from typing import Any

from recur.study import facts
from recur.study.endpoints import has_competing

LEARNING_CHUNK = 10  # repeats of the learning curve a job
RESAMPLE_CHUNK = 25  # resamples a job; fixed, so that cores and restarts change nothing
NULL_CHUNK = 5  # redrawn outcomes a job


def results(study: dict[str, Any]) -> str:
    """The folder of everything that the study makes."""
    return f"results/{study['study']}"


def readers(study: dict[str, Any]) -> list[str]:
    """The readings of a study: of its masks, or of a ready feature table, whose second one may be empty."""
    if "images" in study:
        return study["images"]["readers"]
    return ["reader1", "reader2"] if "features" in study else ["reader1"]


def outcomes(study: dict[str, Any]) -> dict[str, str]:
    """Analysis -> `survival`, `binary` or `categories`."""
    return {name: facts.outcome_kind(study, name) for name in study["analyses"]}


def of_kind(study: dict[str, Any], kind: str) -> list[str]:
    """The analyses with one kind of outcome."""
    return [name for name, outcome in outcomes(study).items() if outcome == kind]


def with_models(study: dict[str, Any]) -> list[str]:
    """The analyses with a signature and models that are frozen and validated: those of survival, then the binary."""
    return [*of_kind(study, "survival"), *of_kind(study, "binary")]


def followed(study: dict[str, Any]) -> list[str]:
    """Those of them whose patients may be censored."""
    return [name for name in with_models(study) if facts.timed_endpoint(study, name)]


def has_competing_death(study: dict[str, Any], analysis: str) -> bool:
    """Whether the endpoint tells death without recurrence from censoring."""
    return has_competing(facts.endpoint_of(study, analysis))


def competing_endpoint(study: dict[str, Any], analysis: str) -> str | None:
    """The analysis's endpoint if it tells death without recurrence from censoring, else the study's first that does."""
    names = [study["analyses"][analysis]["endpoint"], *study["endpoints"]]
    return next((name for name in names if has_competing(study["endpoints"][name])), None)


def has_ablations(study: dict[str, Any], analysis: str) -> bool:
    """Whether the fit is repeated with one phase, region or kind of term alone."""
    return facts.uses_features(study, analysis) and study["analyses"][analysis]["ablations"]


def sees_out_of_fold(study: dict[str, Any], analysis: str) -> bool:
    """Whether the models were fitted on scores that each patient had no part in."""
    chosen = study["analyses"][analysis]
    return facts.uses_features(study, analysis) and chosen["second_stage"]["scores"] == "out_of_fold"


def follow_up_option(study: dict[str, Any], analysis: str) -> list[str]:
    """The follow-up that a replicate asks of patients without the event, as an option of scripts/analysis_set.py."""
    months = study["analyses"][analysis]["min_follow_up_months"]
    return ["--min-follow-up", str(months)] if months else []


def labels(study: dict[str, Any], analysis: str) -> str:
    """The constant first columns of every table of an analysis, as JSON."""
    return json.dumps({"analysis": analysis, "endpoint": study["analyses"][analysis]["endpoint"]})


def learning_chunks(study: dict[str, Any], analysis: str) -> range:
    """The jobs of the learning curve."""
    return _chunks(study["analyses"][analysis]["internal_validation"]["learning_repeats"], LEARNING_CHUNK)


def resample_chunks(study: dict[str, Any], analysis: str) -> range:
    """The jobs of the bootstrap."""
    return _chunks(study["analyses"][analysis]["internal_validation"]["resamples"], RESAMPLE_CHUNK)


def null_runs(study: dict[str, Any]) -> dict[str, int]:
    """Signal of the redrawn outcomes -> how often they are redrawn; empty without a null study."""
    null = study.get("null_study")
    return {"none": null["runs"], "clinical_only": null["runs"], "full": null["signal_runs"]} if null else {}


def null_jobs(study: dict[str, Any]) -> list[str]:
    """`<signal>-<chunk>` of every job that redraws outcomes."""
    return [f"{signal}-{chunk}" for signal, runs in null_runs(study).items() for chunk in _chunks(runs, NULL_CHUNK)]


def null_seeds(study: dict[str, Any], signal: str, chunk: int) -> list[int]:
    """Seeds of one of them."""
    seeds = list(range(null_runs(study)[signal]))
    return seeds[chunk * NULL_CHUNK : (chunk + 1) * NULL_CHUNK]


def _chunks(count: int, size: int) -> range:
    return range(-(-count // size))
