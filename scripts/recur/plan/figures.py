"""Which figures a study has, and what each of them draws, is called and says below.

A figure is one file of scripts/figures/, which names its tables, caption and category in literals: they are read
without running the file, and so without a plotting library.
"""

from __future__ import annotations

import ast
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from recur.plan import analyses, diagnostic
from recur.study import facts
from recur.vocabulary import WORDS, analysis_words, endpoint_words, main_model, study_words

FOLDER = Path(__file__).resolve().parents[2] / "figures"
OF_DIAGNOSTIC = "Diagnostic"  # category of the figures that are drawn once, not for every analysis
SUFFIXES = ("svg", "pdf", "png")
PERTURBED = "The readings are perturbed images and masks: there is no second reader."
TWO_SETTINGS = "The readings are two extraction settings of the same masks, not two readers."
SYNTHETIC = "Synthetic data."


class Figure(NamedTuple):
    """What a file of scripts/figures/ says of itself."""

    inputs: dict[str, str]  # name -> path of a table below results/<study>/, with {analysis} in it
    caption: str
    category: str
    needs: str | None  # a key of NEEDS or diagnostic.NEEDS; None: nothing
    outcome: str | None  # the kind of outcome that it shows; None: every kind


@functools.cache
def all_figures() -> dict[str, Figure]:
    """Name -> figure, of all files of scripts/figures/ in the order of their names."""
    return {path.stem: read(path) for path in sorted(FOLDER.glob("*.py")) if not path.stem.startswith("_")}


def read(path: Path) -> Figure:
    """A figure from the literals of its file; raises KeyError if one is missing."""
    assignments = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.Assign)]
    said = {node.targets[0].id: node.value for node in assignments}
    inputs, caption, category, needs = (
        ast.literal_eval(said[name]) for name in ("INPUTS", "CAPTION", "CATEGORY", "NEEDS")
    )
    outcome = ast.literal_eval(said["OUTCOME"]) if "OUTCOME" in said else None
    return Figure(inputs, caption, category, needs, outcome)


# ---------------------------------------------------------------- figures of an analysis

Asked = Callable[[dict[str, Any], str], bool]


def _is_stability_shown(study: dict[str, Any], analysis: str) -> bool:
    """Whether the stability filter of an analysis has readings to compare."""
    has_readings = "images" in study or facts.has_repeats(study)
    several = len(facts.reading_tables(study, analysis)) > 1
    filtered = study["analyses"][analysis]["stability"]["rule"] != "none"
    return facts.uses_features(study, analysis) and has_readings and several and filtered


def _has_images_of_features(study: dict[str, Any], analysis: str) -> bool:
    return facts.uses_features(study, analysis) and "images" in study


def _has_ranking(study: dict[str, Any], analysis: str) -> bool:
    return facts.uses_features(study, analysis) and study["analyses"][analysis]["ranking"]["kind"] != "none"


def _repeats(study: dict[str, Any], analysis: str, *kinds: str) -> bool:
    """Whether the fit of an analysis is repeated in one of these ways."""
    return any(study["analyses"][analysis]["internal_validation"][kind] > 0 for kind in kinds)


NEEDS: dict[str, Asked] = {  # what a figure names in NEEDS -> whether an analysis has it
    "signature": facts.uses_features,
    "example": _has_images_of_features,
    "stability": _is_stability_shown,
    "forest": _has_ranking,
    "ablations": analyses.has_ablations,
    "scores": lambda study, analysis: "comparators" in study,
    "competing": lambda study, analysis: analyses.competing_endpoint(study, analysis) is not None,
    "resampled": lambda study, analysis: (
        facts.uses_features(study, analysis) and _repeats(study, analysis, "resamples")
    ),
    "internal": lambda study, analysis: _repeats(study, analysis, "resamples", "nested_repeats"),
    "learning": lambda study, analysis: _repeats(study, analysis, "learning_repeats"),
    "null": lambda study, analysis: "null_study" in study,
    "held_out": lambda study, analysis: facts.split_of(study, analysis)["kind"] != "none",
    "factors": lambda study, analysis: bool(study["candidates"]["pre"] + study["candidates"]["post"]),
}


def has_figure(study: dict[str, Any], analysis: str, name: str) -> bool:
    """Whether an analysis has what a figure shows."""
    figure = all_figures()[name]
    if figure.outcome not in (None, facts.outcome_kind(study, analysis)):
        return False
    return figure.needs is None or bool(NEEDS[figure.needs](study, analysis))


def of_analyses(study: dict[str, Any]) -> list[tuple[str, str]]:
    """(analysis, figure) of every figure of an analysis, in the order in which they are drawn."""
    drawn = [name for name, figure in all_figures().items() if figure.category != OF_DIAGNOSTIC]
    pairs = [(analysis, name) for analysis in analyses.with_models(study) for name in drawn]
    return [pair for pair in pairs if has_figure(study, *pair)]


def tables(study: dict[str, Any], analysis: str, name: str) -> dict[str, str]:
    """Name -> path of the tables that a figure of an analysis draws."""
    folder = analyses.results(study)
    inputs = all_figures()[name].inputs
    return {table: f"{folder}/{path.format(analysis=analysis)}" for table, path in inputs.items()}


def words(study: dict[str, Any], analysis: str, name: str) -> dict[str, str]:
    """What a figure calls treatment and events: of the analysis, or of the endpoint whose competing event it shows."""
    of_the_analysis = analysis_words(study, analysis)
    if all_figures()[name].needs != "competing":
        return of_the_analysis
    return of_the_analysis | endpoint_words(study, analyses.competing_endpoint(study, analysis))


def caption(study: dict[str, Any], analysis: str, name: str) -> str:
    """The text below a figure of an analysis."""
    figure, chosen = all_figures()[name], study["analyses"][analysis]
    said = WORDS[facts.outcome_kind(study, analysis)] | words(study, analysis, name)
    parts = [figure.caption.format(endpoint=chosen["endpoint"], **said)]
    if figure.needs == "stability" and facts.is_perturbed(chosen):
        parts.append(PERTURBED)
    if figure.needs == "stability" and chosen["stability"]["source"] == "settings":
        parts.append(TWO_SETTINGS)
    if "control" in chosen:
        how, where = chosen["control"].split("_")
        where = "from outside" if chosen["control"] == "resampled_outside" else where
        parts.append(f"Negative control: voxels {how} {where} the regions.")
    if study["synthetic"]:
        parts.append(SYNTHETIC)
    return " ".join(parts)


def captions(study: dict[str, Any]) -> dict[str, list[str]]:
    """`<analysis>/<figure>` -> [category, caption], as the report has them."""
    pairs = of_analyses(study)
    return {f"{pair[0]}/{pair[1]}": [all_figures()[pair[1]].category, caption(study, *pair)] for pair in pairs}


def files(study: dict[str, Any], suffixes: tuple[str, ...] = SUFFIXES) -> list[str]:
    """The files of all figures of analyses."""
    stems = [f"{analyses.results(study)}/figures/{analysis}/{name}" for analysis, name in of_analyses(study)]
    return [f"{stem}.{suffix}" for stem in stems for suffix in suffixes]


def arguments(study: dict[str, Any], analysis: str, name: str) -> list[str]:
    """The arguments of scripts/figure.py for a figure of an analysis."""
    inputs = [f"{table}={path}" for table, path in tables(study, analysis, name).items()]
    given = [
        *("--figure", name, "--input", *inputs),
        *("--output-stem", f"{analyses.results(study)}/figures/{analysis}/{name}"),
        *("--title-note", analysis, "--outcome", facts.outcome_kind(study, analysis)),
        *("--endpoint", study["analyses"][analysis]["endpoint"]),
        *("--primary-horizon", str(study["horizons_months"][0])),
        *("--words", json.dumps(words(study, analysis, name))),
        *("--main-model", main_model(facts.model_names(study, analysis))),
    ]
    return [*given, "--synthetic"] if study["synthetic"] else given


# ---------------------------------------------------------------- figures of a diagnostic study


def of_diagnostic(study: dict[str, Any]) -> list[str]:
    """The diagnostic figures that the study has something for."""
    drawn = {name: figure for name, figure in all_figures().items() if figure.category == OF_DIAGNOSTIC}
    return [name for name, figure in drawn.items() if diagnostic.NEEDS[figure.needs](study)]


def diagnostic_tables(study: dict[str, Any], name: str) -> dict[str, str]:
    """Name -> path of the tables that a diagnostic figure draws."""
    return {table: f"{analyses.results(study)}/{path}" for table, path in all_figures()[name].inputs.items()}


def diagnostic_caption(study: dict[str, Any], name: str) -> str:
    """The text below a diagnostic figure."""
    reference = study.get("diagnostic", {}).get("reference", "")
    text = all_figures()[name].caption.format(endpoint=reference)
    return f"{text} {SYNTHETIC}" if study["synthetic"] else text


def diagnostic_files(study: dict[str, Any], suffixes: tuple[str, ...] = SUFFIXES) -> list[str]:
    """The files of all diagnostic figures."""
    stems = [f"{analyses.results(study)}/figures/diagnostic/{name}" for name in of_diagnostic(study)]
    return [f"{stem}.{suffix}" for stem in stems for suffix in suffixes]


def diagnostic_arguments(study: dict[str, Any], name: str) -> list[str]:
    """The arguments of scripts/figure.py for a diagnostic figure."""
    free = {endpoint: endpoint_words(study, endpoint)["free"] for endpoint in study["endpoints"]}
    inputs = [f"{table}={path}" for table, path in diagnostic_tables(study, name).items()]
    reference = study.get("diagnostic", {}).get("reference", "none")
    given = [
        *("--figure", name, "--input", *inputs),
        *("--output-stem", f"{analyses.results(study)}/figures/diagnostic/{name}"),
        *("--endpoint", reference, "--primary-horizon", "0"),
        *("--words", json.dumps(study_words(study) | {"free_of": free})),
    ]
    return [*given, "--synthetic"] if study["synthetic"] else given


# ---------------------------------------------------------------- both


def all_tables(study: dict[str, Any]) -> list[str]:
    """Every table that some figure of the study draws."""
    drawn = [tables(study, *pair) for pair in of_analyses(study)]
    drawn += [diagnostic_tables(study, name) for name in of_diagnostic(study)]
    return sorted({path for named in drawn for path in named.values()})


def all_arguments(study: dict[str, Any]) -> list[list[str]]:
    """The arguments of scripts/figure.py for every figure of the study."""
    of_pairs = [arguments(study, *pair) for pair in of_analyses(study)]
    return of_pairs + [diagnostic_arguments(study, name) for name in of_diagnostic(study)]
