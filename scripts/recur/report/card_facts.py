"""What the model card is made from, out of the results of a study."""

from __future__ import annotations

import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from recur.report.methods import methods
from recur.tables import read_frozen, read_made

PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn")


def read_facts(
    study: dict[str, Any], results: Path, analyses: list[str], manifest: dict[str, Any] | None, citation: Path
) -> dict[str, Any]:
    """Everything that recur.report.model_card.card asks for.

    study: settings of the card; manifest: of the first reader's features, of a study with images; citation:
    CITATION.cff, which holds version and licence.
    """
    cited = dict(re.findall(r"^(version|license): (\S+)$", citation.read_text(), re.M))
    versions = {"this workflow": cited["version"], "Python": platform.python_version()}
    versions |= {name: version(name) for name in PACKAGES}
    if manifest:
        versions |= manifest["versions"]
    return {
        "study": study,
        "models": {analysis: _models(results, analysis) for analysis in analyses},
        "signatures": _signatures(results, analyses),
        "methods": {analysis: methods(results, study, analysis) for analysis in analyses},
        "cohorts": {analysis: _patients(results, analysis) for analysis in analyses},
        "performance": read_made(results / "validation/performance.csv"),
        "guards": read_made(results / "validation/guards.csv"),
        "versions": versions,
        "licence": cited["license"],
        "manifest": manifest,
    }


def _models(results: Path, analysis: str) -> dict[str, dict[str, Any]]:
    paths = sorted((results / f"models/{analysis}/frozen").glob("*.json"))
    return {path.stem: read_frozen(path) for path in paths}


def _signatures(results: Path, analyses: list[str]) -> dict[str, dict[str, Any]]:
    """Of the analyses that have one."""
    paths = {analysis: results / f"signature/{analysis}/signature.json" for analysis in analyses}
    return {analysis: read_frozen(path) for analysis, path in paths.items() if path.exists()}


def _patients(results: Path, analysis: str) -> pd.DataFrame:
    return pd.concat([read_made(results / f"cohort/{analysis}/{part}.csv") for part in ("train", "heldout")])
