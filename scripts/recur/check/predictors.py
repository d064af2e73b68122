"""What may predict: outcomes among candidates and features, and the columns of comparators, as `check` says it."""

from __future__ import annotations

from typing import Any

from recur.cohort.clinical import Cohort
from recur.cohort.published_scores import variables_used, wanted_scores
from recur.cohort.score_formulas import read_scores
from recur.features.cells import few
from recur.features.complete import complete_enough
from recur.features.doubts import doubts, in_words
from recur.features.imported import read_features
from recur.features.leaks import leak_problems, outcome_rows
from recur.features.names import FEATURE
from recur.features.tumour_size import burden_column
from recur.study.facts import candidates_of, feature_subsets, known_after, tumour_columns, uses_features
from recur.tables import StudyError, first_of

NAMED_FEATURES = 20  # columns that a pattern takes and that are not named as pyradiomics does


def candidate_problems(study: dict[str, Any], cohort: Cohort) -> list[str]:
    """Candidates that are an outcome under another name."""
    problems = []
    for name, analysis in study["analyses"].items():
        candidates = candidates_of(study, name)
        terms = candidates["pre"] + candidates["post"]
        numeric = cohort.clinical.set_index("patient_id")[terms].select_dtypes("number")
        # its own outcome, and the others that have a time: a finding without one may predict
        timed = {column.removesuffix("_time") for column in cohort.endpoints if column.endswith("_time")}
        endpoints = timed | {analysis["endpoint"]}
        columns = [column for column in cohort.endpoints if column.rpartition("_")[0] in endpoints]
        outcomes = outcome_rows(cohort.endpoints[["patient_id", *columns]], study["horizons_months"])
        problems += leak_problems(numeric, outcomes, "candidates", "take it out of the candidates")
    return list(dict.fromkeys(problems))


def feature_problems(study: dict[str, Any], key: str, cohort: Cohort | None) -> list[str]:
    """What is wrong with a ready feature table, outcomes among its columns, and a tumour that cannot be told apart."""
    settings = study["features"]
    used = any(uses_features(study, name) for name in study["analyses"])
    path = settings[key]
    try:
        features = read_features(settings, path, known_after(study)).features.set_index("patient_id")
        if key == "table" and used:
            burden_columns(study, list(features.columns))
    except StudyError as error:
        return error.problems
    if cohort is None or key == "repeat":
        return []
    outcomes = outcome_rows(cohort.endpoints, study["horizons_months"])
    present = features[features.index.isin(cohort.clinical["patient_id"])]
    return leak_problems(present, outcomes, path, "take it out with features.pattern")


def burden_columns(study: dict[str, Any], names: list[str]) -> dict[str, str]:
    """size_only and volume_only -> where the tumour's size and volume come from, in words; those that have a source."""
    columns = tumour_columns(study)
    sources = {}
    problems = []
    for target in ("size", "volume"):
        variable = study["clinical"][f"tumour_{target}"]
        if variable:
            sources[f"{target}_only"] = f"column {study['clinical']['variables'][variable]['column']}"
            continue
        if "images" in study:
            sources[f"{target}_only"] = f"the tumour's mask in {study['images']['phases'][0]}"
            continue
        try:
            column = burden_column(names, target, columns.get(f"{target}_column"), columns["phases"])
        except StudyError as error:
            problems += error.problems
            continue
        if column is not None:
            sources[f"{target}_only"] = f"feature {column}"
    if problems:
        raise StudyError(problems)
    return sources


def comparator_lines(study: dict[str, Any], names: list[str]) -> list[str]:
    """The models and scores that the study's own models are compared with, and the columns they are made from."""
    variables = study["clinical"]["variables"]
    scores = read_scores()
    sources = burden_columns(study, names)
    for score in wanted_scores(study):
        used = [variables[name]["column"] for name in variables_used(study, scores[score])]
        sources[f"score {score}"] = f"columns {', '.join(used)}" if used else "no column of the clinical table"
    for name in study.get("comparators", {}).get("recorded", []):
        sources[name] = f"column {variables[name]['column']}, as recorded"
    absent = [name for name in ("size_only", "volume_only") if name not in sources]
    lines = [f"  comparator {name}: {source}" for name, source in sources.items()]
    return lines + [f"  comparator {name}: none, no column is the tumour's {name[:-5]}" for name in absent]


def taken_lines(study: dict[str, Any], names: list[str]) -> list[str]:
    """What features.pattern takes: pyradiomics' names in short, all others one by one, and clinical ones among them."""
    usual = [name for name in names if FEATURE.search(name)]
    unusual = [name for name in names if name not in set(usual)]
    shown = [f"{len(usual)} columns named as pyradiomics does ({few(usual)})"] if usual else []
    if unusual:
        shown.append(f"{len(unusual)} columns of other names ({first_of(unusual, NAMED_FEATURES)})")
    lines = [f"features.pattern {study['features']['pattern']!r} takes {', '.join(shown)}"]
    columns = {variable["column"]: name for name, variable in study["clinical"]["variables"].items()}
    twice = [f"{name} ({columns[name]})" for name in unusual if name in columns]
    if twice:
        lines.append(f"clinical variables among the features, narrow features.pattern if not meant: {few(twice)}")
    return lines


def feature_lines(study: dict[str, Any], cohort: Cohort) -> tuple[list[str], list[str]]:
    """What is taken from the ready feature tables and what is doubtful there, in lines, and the features' names."""
    settings = study["features"]
    lines = []
    names = []
    centres = cohort.clinical.set_index("patient_id")["centre"]
    for key in ("table", "repeat"):
        if not settings.get(key):
            continue
        imported = read_features(settings, settings[key], known_after(study))
        table, bad = complete_enough(imported, feature_subsets(study) or [{}])
        gone = f"; {len(bad)} patients with missing values go out" if len(bad) else ""
        feature_names = list(table.columns[1:])
        lines.append(f"  features.{key}: {len(feature_names)} features of {len(table)} patients{gone}")
        lines += [f"    {text}" for text in taken_lines(study, feature_names)]
        lines += [f"    {text}" for text in imported.remarks]
        lines += [f"    doubtful, {text}" for text in in_words(doubts(imported, centres))]
        names = names or feature_names
    return lines, names
