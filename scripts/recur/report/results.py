"""A study's results as the sections of the report read them: tables, frozen models, and which analysis comes first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from recur.tables import read_frozen, read_made


def primary(study: Mapping[str, Any]) -> str | None:
    """The declared primary analysis, or the only one; None where several stand undeclared."""
    only = next(iter(study["analyses"])) if len(study["analyses"]) == 1 else None
    return study.get("primary") or only


def rank_of(study: Mapping[str, Any], analysis: str) -> str:
    chosen = primary(study)
    return "primary analysis" if analysis == chosen else "secondary analysis" if chosen else "analysis"


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
