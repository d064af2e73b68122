"""A study's results as the sections of the report read them: tables, frozen models, and which analysis comes first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from recur.study.facts import outcome_kind
from recur.tables import StudyError, read_frozen, read_json, read_made


class Run(NamedTuple):
    """The finished results of a study."""

    results: Path  # their folder
    study: dict[str, Any]  # the resolved study file
    captions: dict[str, list[str]]  # `<analysis>/<figure>` -> category, caption; in the order of the figures
    analyses: list[str]  # the primary one first; without those of graded
    graded: list[str]  # analyses of an ordinal or categorical endpoint


def read_run(results: str | Path) -> Run:
    """The results in a folder (`results/<study>`); raises StudyError where no run has finished its figures there."""
    folder = Path(results).resolve()
    for name in ("study.resolved.yaml", "settings/captions.json"):
        if not (folder / name).is_file():
            raise StudyError(
                f"{folder}: no results of a study ({name} is missing); run snakemake first, or set `results` to the "
                "folder of a finished study"
            )
    study = yaml.safe_load((folder / "study.resolved.yaml").read_text())
    return run_of(folder, study, read_json(folder / "settings/captions.json"))


def run_of(folder: Path, study: dict[str, Any], captions: dict[str, list[str]]) -> Run:
    """The run whose study file and captions are known."""
    graded = [name for name in study["analyses"] if outcome_kind(study, name) == "categories"]
    analyses = [name for name in study["analyses"] if name not in graded]
    analyses.sort(key=lambda name: name != primary(study))
    return Run(folder, study, captions, analyses, graded)


def primary(study: Mapping[str, Any]) -> str | None:
    """The declared primary analysis, or the only one; None where several stand undeclared."""
    only = next(iter(study["analyses"])) if len(study["analyses"]) == 1 else None
    return study.get("primary") or only


def rank_of(study: Mapping[str, Any], analysis: str) -> str:
    """What an analysis is called beside its name: `primary analysis`, `secondary analysis`, or `analysis`."""
    chosen = primary(study)
    if not chosen:
        return "analysis"
    return "primary analysis" if analysis == chosen else "secondary analysis"


def read(results: Path, name: str) -> pd.DataFrame:
    """A table of the study, empty when the study has none of it."""
    path = results / name
    return read_made(path) if path.exists() else pd.DataFrame()


def of_analysis(results: Path, name: str, analysis: str) -> pd.DataFrame:
    """A table of an analysis without its constant columns."""
    return read(results, name.format(analysis)).drop(columns=["analysis", "endpoint"], errors="ignore")


def collected(results: Path, name: str, analysis: str) -> pd.DataFrame:
    """The rows of an analysis in a table that holds those of all."""
    whole = read(results, name)
    return whole[whole["analysis"] == analysis] if len(whole) else whole


def frozen_model(results: Path, analysis: str, model: str | None) -> dict[str, Any]:
    """A frozen model; empty where there is no such file."""
    path = results / f"models/{analysis}/frozen/{model}.json"
    return read_frozen(path) if path.exists() else {}
