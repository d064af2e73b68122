"""The files of a study: all that a run makes, and those that single rules collect."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from recur.plan import diagnostic, figures
from recur.plan.analyses import followed, of_kind, readers, results, with_models
from recur.study import facts

CATEGORY_TABLES = ("category_performance", "category_tests", "category_risks")
SURVIVAL_TABLES = ("km", "logrank", "rates")  # of analyses with a time
PLACES = {  # what a user looks for -> where it is in results/<study>/, or from the working directory
    "report": "report/report.html",
    "risks": "report/calculator.html",
    "card": "report/model_card.html",
    "tests": "report/diagnostic.html",
    "lists": "report/checklists.html",
    "images": "images/qc/index.html",
    "figures": "figures",
    "models": "models",
    "tables": "results/README.md",
}


def everything(study: dict[str, Any]) -> list[str]:
    """What a run makes: everything of the study, and the record of what it was made from."""
    return [*of_study(study), f"{results(study)}/provenance.json"]


def of_study(study: dict[str, Any]) -> list[str]:
    """Tables, models, figures and the report (features and pictures, without an analysis)."""
    if "reported" in study:
        return of_diagnostic(study)
    folder = results(study)
    made = [f"{folder}/report/report.html", *applied_pages(study), *manuscript_tables(study)]
    if with_models(study):
        made.append(f"{folder}/report/checklists.html")
    made += feature_tables(study)
    if "images" in study:
        made += [f"{folder}/images/qc/index.html", f"{folder}/images/acquisition.csv"]
    made += [*result_tables(study), *figures.files(study)]
    if "null_study" in study:
        made.append(f"{folder}/validation/null.csv")
    return list(dict.fromkeys(made + of_diagnostic(study)))


def of_diagnostic(study: dict[str, Any]) -> list[str]:
    """Tables, figures and the page of a diagnostic study."""
    made = [*diagnostic.tables(study), *figures.diagnostic_files(study)]
    if diagnostic.tables(study):
        made.append(f"{results(study)}/report/diagnostic.html")
    if figures.of_diagnostic(study):
        made.append(f"{results(study)}/tables.sha256")
    return made


def feature_tables(study: dict[str, Any]) -> list[str]:
    """Feature tables: one a reader of the images, or the one that was brought."""
    if "images" in study:
        return [f"{results(study)}/features/{reader}.parquet" for reader in readers(study)]
    return [f"{results(study)}/features/reader1.parquet"] if "features" in study else []


def category_tables(study: dict[str, Any]) -> list[str]:
    """The tables of analyses of ordinal and categorical endpoints, which have no other floors."""
    folder, several = results(study), of_kind(study, "categories")
    judged = [f"{folder}/validation/{analysis}/{name}.csv" for analysis in several for name in CATEGORY_TABLES]
    return judged + [f"{folder}/models/{analysis}/category_coefficients.csv" for analysis in several]


def result_tables(study: dict[str, Any]) -> list[str]:
    """The tables of a study that people read, over all its analyses."""
    if not with_models(study):
        return category_tables(study)
    names = [
        "cohort/patients.csv", "cohort/exclusions.csv", "models/coefficients.csv", "validation/performance.csv",
        "validation/comparisons.csv", "validation/consistency.csv", "validation/guards.csv",
    ]  # fmt: skip
    if of_kind(study, "survival"):
        names += [f"survival/{name}.csv" for name in SURVIVAL_TABLES]
    names.append("tables.sha256")
    if "comparators" in study:
        names += ["validation/scores.csv", "validation/score_comparisons.csv"]
    names += [f"cohort/{analysis}/table1.csv" for analysis in with_models(study)]
    names += [f"cohort/{analysis}/follow_up.csv" for analysis in followed(study)]
    names += [f"models/{analysis}/sample_size.csv" for analysis in with_models(study)]
    if len(with_models(study)) > 1:
        names.append("validation/contrast.csv")
    names += [f"validation/{analysis}/transport.csv" for analysis in of_kind(study, "survival")]
    return category_tables(study) + [f"{results(study)}/{name}" for name in names]


def manuscript_tables(study: dict[str, Any]) -> list[str]:
    """A folder of tables for a manuscript each analysis."""
    return [f"{results(study)}/report/tables/{analysis}" for analysis in with_models(study)]


def manuscript_sources(study: dict[str, Any], analysis: str) -> list[str]:
    """The tables that recur.report.manuscript turns into those of a manuscript."""
    names = [
        f"cohort/{analysis}/table1.csv", f"models/{analysis}/coefficients.csv",
        f"validation/{analysis}/performance.csv", f"validation/{analysis}/comparisons.csv",
    ]  # fmt: skip
    if "comparators" in study:
        names += [f"validation/{analysis}/score_comparisons.csv", "cohort/score_notes.csv"]
    if facts.uses_features(study, analysis):
        names += [f"signature/{analysis}/{name}.csv" for name in ("weights", "icc", "selection_frequency")]
    return [f"{results(study)}/{name}" for name in names]


def applied_pages(study: dict[str, Any]) -> list[str]:
    """How the frozen models are used: the risk calculator and the model card."""
    names = ("calculator.html", "model_card.html", "model_card.md")
    return [f"{results(study)}/report/{name}" for name in names] if with_models(study) else []


def processing_files(study: dict[str, Any]) -> list[str]:
    """What the report and the checklists say of image processing; nothing without images."""
    if "images" not in study:
        return []
    names = [f"features/{readers(study)[0]}.manifest.json", "features/ibsi_self_test.csv", "images/acquisition.csv"]
    return [f"{results(study)}/{name}" for name in names]


def guard_tables(study: dict[str, Any], analysis: str) -> dict[str, str]:
    """Name -> path of the tables that the guards of an analysis look at."""
    paths = {
        "performance": f"validation/{analysis}/performance.csv",
        "risks": f"validation/{analysis}/risks.csv",
        "net_benefit": f"validation/{analysis}/net_benefit.csv",
        "ranges": f"validation/{analysis}/ranges.csv",
    }
    if facts.outcome_kind(study, analysis) == "survival":
        paths["rates"] = f"survival/{analysis}/rates.csv"
    paths["coefficients"] = f"models/{analysis}/coefficients.csv"
    paths["diagnostics"] = f"models/{analysis}/diagnostics.csv"
    paths["frequencies"] = f"signature/{analysis}/selection_frequency.csv"
    if facts.uses_features(study, analysis):
        paths["univariable"] = f"signature/{analysis}/univariable.csv"
        paths["weights"] = f"signature/{analysis}/weights.csv"
        if "features" in study:
            paths["doubts"] = "features/doubts.csv"
    if "images" in study:
        paths["acquisition"] = "images/acquisition.csv"
    is_random = facts.split_of(study, analysis)["kind"] == "random"
    if is_random and study["analyses"][analysis]["internal_validation"]["splits"]:
        paths["splits"] = f"validation/{analysis}/splits.csv"
    return {name: f"{results(study)}/{path}" for name, path in paths.items()}


def changed_tables(study: dict[str, Any]) -> list[str]:
    """Problems of figures from stored tables: tables that are missing or were edited since they were made."""
    folder = results(study)
    listed = Path(folder, "tables.sha256")
    if not listed.exists():
        return [f"{listed}: no such file; copy the results folder with its tables, or run without from=tables"]
    known = dict(reversed(line.split("  ", 1)) for line in listed.read_text().splitlines())
    problems = []
    for path in map(Path, figures.all_tables(study)):
        if not path.exists():
            problems.append(f"{path}: missing")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != known.get(path.relative_to(folder).as_posix()):
            problems.append(f"{path}: is not the table that the study made (tables.sha256)")
    return problems


def where_results_are(study: dict[str, Any]) -> str:
    """Lines that say where to look, once a run is done."""
    folder = results(study)
    there = {name: path for name, path in PLACES.items() if Path(folder, path).exists()}
    return "\n".join([f"Study {study['study']}:", *(f"  {name:8}{folder}/{path}" for name, path in there.items())])
