"""What a diagnostic study makes, and every study with images of several readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recur.plan.analyses import readers, results

TEST_TABLES = ("participants", "accuracy", "auc", "roc", "band", "comparisons")  # of tests against a reference standard
GROUP_TABLES = ("groups", "curves", "weighted", "balance")


def declared(study: dict[str, Any]) -> dict[str, Any]:
    """The diagnostic section of a study; empty where there is none."""
    return study.get("diagnostic", {})


def has_two_masks(study: dict[str, Any]) -> bool:
    """Whether several readers drew masks."""
    return "images" in study and len(readers(study)) > 1


def has_scores(study: dict[str, Any]) -> bool:
    """Whether some index test is more than positive or negative, so that it has a ROC curve."""
    return any(variables(study)[name]["kind"] != "binary" for name in declared(study).get("tests", []))


NEEDS: dict[str, Callable[[dict[str, Any]], bool]] = {  # what a figure names in NEEDS -> whether a study has it
    "scores": has_scores,
    "tests": lambda study: bool(declared(study).get("tests")),
    "readers": lambda study: bool(declared(study).get("readers")),
    "groups": lambda study: bool(declared(study).get("groups", {}).get("endpoints")),
    "masks": has_two_masks,
}


def variables(study: dict[str, Any]) -> dict[str, Any]:
    """The variables that tests and readings are: of the lesions where there is such a table."""
    return declared(study).get("lesions", study["clinical"])["variables"]


def units(study: dict[str, Any]) -> str:
    """The table with a row for each patient or lesion that is tested or read."""
    table = "lesions" if "lesions" in declared(study) else "clinical"
    return f"{results(study)}/cohort/{table}.csv"


def tables(study: dict[str, Any]) -> list[str]:
    """Tables of a diagnostic study, of the readers' masks of any study with images, of printed numbers."""
    names: list[str] = []
    if declared(study).get("tests"):
        names += TEST_TABLES
    if declared(study).get("readers"):
        names.append("agreement")
    if "groups" in declared(study):
        names += GROUP_TABLES
    if has_two_masks(study):
        names += ["masks", "mask_summary"]
    if "reported" in study:
        names.append("consistency")
    return [f"{results(study)}/diagnostic/{name}.csv" for name in names]
