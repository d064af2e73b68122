"""Methods in sentences, with the parameters of the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from recur.report.features import feature_facts
from recur.report.models import model_facts
from recur.report.outcome import outcome_facts
from recur.report.pages import Block
from recur.report.parts import by_analysis
from recur.report.patients import patient_facts
from recur.report.results import Run, collected
from recur.report.validation import validation_facts
from recur.sources import ROOT
from recur.vocabulary import analysis_words


def texts() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "report" / "texts.yaml").read_text())


def section(run: Run) -> Markup:
    """The methods of each analysis."""
    return by_analysis(run, told)


def told(run: Run, analysis: str) -> list[Block]:
    said = methods(run.results, run.study, analysis)
    return [("p", [(f"{title}.", None), f" {text}"]) for title, text in said]


def methods(results: Path, study: Mapping[str, Any], analysis: str) -> list[tuple[str, str]]:
    """(heading, paragraph) of the methods, with the parameters of this run."""
    known = facts(results, study, analysis)
    parts = [part for part in texts()["methods"] if known.get(part.get("if"), "if" not in part)]
    said = [(part["heading"], " ".join(sentences(part["text"], known))) for part in parts]
    return [(heading, text) for heading, text in said if text]


def sentences(items: list[dict[str, str]], known: Mapping[str, Any]) -> list[str]:
    """The sentences whose `if` fact holds, filled in."""
    return [item["text"].format_map(known) for item in items if known.get(item.get("if"), "if" not in item)]


def facts(results: Path, study: Mapping[str, Any], analysis: str) -> dict[str, Any]:
    """What the sentences of report/texts.yaml may name: conditions that hold, and values as text."""
    performance = collected(results, "validation/performance.csv", analysis)
    known = analysis_words(study, analysis) | patient_facts(results, study, analysis)
    known |= outcome_facts(results, study, analysis, performance)
    known |= feature_facts(results, study, analysis)
    known |= model_facts(results, study, analysis, performance)
    return known | validation_facts(results, study, analysis, performance)
