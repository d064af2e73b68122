"""The report: what it says of a run, as HTML; every text that comes from a table or a study file is escaped.

No number is computed here: tables of floors 1 to 7 hold them all. Sentences stand in report/texts.yaml, the published
table in report/ji2020.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from recur.report.analysis import analysis_part
from recur.report.categories import categories
from recur.report.checks import checks
from recur.report.heading import heading
from recur.report.images import images
from recur.report.limits import limits
from recur.report.patients import patients
from recur.report.published import published_table
from recur.report.results import primary
from recur.report.summary import side_by_side, summary
from recur.study.facts import outcome_kind


def report(results: Path, captions: Mapping[str, str]) -> str:
    """The body of the report. captions: `<analysis>/<figure>` -> [category, caption], in the order of the figures."""
    study = yaml.safe_load((results / "study.resolved.yaml").read_text())
    whole = list(study["analyses"])
    analyses = [name for name in whole if outcome_kind(study, name) != "categories"]
    first = primary(study)
    analyses.sort(key=lambda name: name != first)
    parts = [heading(study, analyses)]
    parts += [summary(results, study, analysis) for analysis in analyses]
    parts += [side_by_side(results, study), patients(results)]
    parts += [analysis_part(results, study, analysis, captions) for analysis in analyses]
    parts += [categories(results, study, name) for name in whole if name not in analyses]
    parts += [
        published_table(results, study),
        limits(results, study, analyses),
        checks(results),
        images(results, study),
    ]
    return "\n".join(part for part in parts if part)
