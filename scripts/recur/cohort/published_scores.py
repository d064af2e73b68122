"""Floor 1: published scores of every patient from the clinical table, by the files in scores/; nothing is fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.cohort.score_formulas import evaluate, read_scores
from recur.tables import Problem, StudyError, grouped

# Factor from a declared unit to the unit of the scores, by input (docs/methods.md 3.1). Nothing is guessed from values.
CONVERSIONS = {
    "bilirubin": {"mg/dL": 17.104},
    "albumin": {"g/dL": 10.0},
    "creatinine": {"mg/dL": 88.42},
    "afp": {"ug/L": 1.0, "IU/mL": 1.21, "ng/dL": 0.01},
    "cea": {"ug/L": 1.0},
    "platelets": {"10^3/uL": 1.0, "/uL": 0.001},
    "sodium": {"mEq/L": 1.0},
    "size": {"mm": 0.1},
    "diameters": {"mm": 0.1},
    "volume": {"cm3": 1.0, "mm3": 0.001},
}
# A median outside these limits means another unit than the declared one: the run stops (docs/methods.md 3.1).
PLAUSIBLE_MEDIAN = {
    "albumin": (10, 70),
    "bilirubin": (5, 1000),
    "size": (0.3, 30),
    "creatinine": (20, 500),
    "platelets": (20, 900),
    "sodium": (110, 160),
    "afp": (0.5, 1e6),
}
NOTE_COLUMNS = ["id", "label", "timing", "purpose", "provenance", "citation", "scale", "patients", "missing", "note"]
NOTE_COLUMNS += ["variables"]  # the clinical variables that a score is computed from, joined by `;`


def mapping_problems(study: dict[str, Any]) -> list[str]:
    """What is wrong with `comparators` before any value is read: names, units, inputs that a wanted score lacks."""
    chosen = study.get("comparators", {})
    variables = study["clinical"]["variables"]
    scores = read_scores()
    declared = {name: facts for score in scores.values() for name, facts in score["inputs"].items()}
    found = []
    for name, variable in chosen.get("inputs", {}).items():
        place = f"comparators.inputs.{name}"
        if name not in declared:
            found.append(f"{place}: no score has such an input; known: {', '.join(sorted(declared))}")
        elif variable not in variables:
            found.append(f"{place}: {variable!r} is no clinical variable")
        elif (variables[variable]["kind"] == "list") != (name == "diameters"):
            found.append(f"{place}: only diameters may be, and must be, a variable of kind list")
        elif factor(name, variables[variable], declared[name]["unit"]) is None:
            units = ", ".join(repr(unit) for unit in [declared[name]["unit"], *CONVERSIONS.get(name, {})])
            found.append(f"{place}: variable {variable!r} has the unit {variables[variable]['unit']!r}; known: {units}")
    for name in chosen.get("scores") or []:
        if name not in scores:
            found.append(f"comparators.scores: {name!r} is no file in scores/ ({', '.join(scores)})")
        elif absent_inputs(study, scores[name]):
            lacking = ", ".join(absent_inputs(study, scores[name]))
            found.append(f"comparators.scores: {name} needs {lacking}; map them under comparators.inputs")
    for name in chosen.get("recorded", []):
        if name not in variables:
            found.append(f"comparators.recorded: {name!r} is no clinical variable")
        elif variables[name]["kind"] not in ("numeric", "binary", "ordinal"):
            found.append(f"comparators.recorded: {name!r} has no order (kind {variables[name]['kind']})")
        if name in scores:
            found.append(f"comparators.recorded: {name!r} is also the name of a score; rename the variable")
    return found


def factor(name: str, variable: dict[str, Any], unit: str) -> float | None:
    """From the variable's unit to the score's; 1 for codes, which have none; None if it is not known."""
    if variable["kind"] in ("binary", "ordinal") or variable["unit"] == unit:
        return 1.0
    return CONVERSIONS.get(name, {}).get(variable["unit"])


def absent_inputs(study: dict[str, Any], score: dict[str, Any]) -> list[str]:
    """Inputs of a score that the study neither maps, nor can derive, nor may assume."""
    mapped = set(study.get("comparators", {}).get("inputs", {}))
    if {"size", "number"} <= mapped:
        mapped.add("diameters")  # of single tumours
    if "images" in study:
        mapped.add("volume")
    return [name for name, facts in score["inputs"].items() if name not in mapped and "assumed" not in facts]


def known_after_surgery(study: dict[str, Any], score: dict[str, Any]) -> list[str]:
    """Inputs of a preoperative score that this study knows only after the operation (pathological size)."""
    mapped = study["comparators"].get("inputs", {})
    variables = study["clinical"]["variables"]
    late = [name for name in score["inputs"] if name in mapped and variables[mapped[name]]["timing"] == "post"]
    return late if score["timing"] == "pre" else []


def variables_used(study: dict[str, Any], score: dict[str, Any]) -> list[str]:
    """The clinical variables behind a score's inputs; diameters of single tumours come from size and number."""
    mapped = study["comparators"].get("inputs", {})
    names = [*score["inputs"], *(["size", "number"] if "diameters" in score["inputs"] else [])]
    return sorted({mapped[name] for name in names if name in mapped})


def wanted_scores(study: dict[str, Any]) -> list[str]:
    """Ids of the scores a study computes: those it names, or every one whose inputs are there."""
    if "comparators" not in study:
        return []
    chosen = study["comparators"].get("scores")
    return list(chosen or [name for name, score in read_scores().items() if not absent_inputs(study, score)])


def score_inputs(
    study: dict[str, Any], clinical: pd.DataFrame, volume_ml: pd.Series | None = None
) -> dict[str, np.ndarray]:
    """Inputs of the scores (n,) in their units, from the checked clinical table (cohort/clinical.csv).

    volume_ml: tumour volume by patient_id, from the masks. Diameters of a single tumour follow from its size.
    Raises StudyError naming patient, column and value for what is implausible, and for a median in another unit.
    """
    variables = study["clinical"]["variables"]
    declared = {}
    for score in read_scores().values():
        declared |= score["inputs"]
    inputs: dict[str, np.ndarray] = {}
    problems = []
    for name, variable in study["comparators"].get("inputs", {}).items():
        times = factor(name, variables[variable], declared[name]["unit"])
        column = variables[variable]["column"]
        if name == "diameters":
            inputs[name] = _lists(clinical[variable], times)
            flat = [(i, size) for i, sizes in enumerate(inputs[name]) for size in sizes]
        else:
            inputs[name] = clinical[variable].to_numpy(float) * times
            flat = list(enumerate(inputs[name]))
        low, high = declared[name]["range"]
        outside = f"outside {low:g} to {high:g}, the range of score input {name}"
        text = f"column {column}, value {{}} {declared[name]['unit']}: {outside}"
        problems += grouped(
            Problem(clinical["patient_id"].iloc[i], text, (float(value),))
            for i, value in flat
            if not (np.isnan(value) or low <= value <= high)
        )
        if name in PLAUSIBLE_MEDIAN and np.isfinite(inputs[name]).any():
            least, most = PLAUSIBLE_MEDIAN[name]
            median = float(np.nanmedian(inputs[name]))
            if not least <= median <= most:
                problems.append(
                    f"column {column}: median {median:g} {declared[name]['unit']} is implausible for {name} "
                    f"({least:g} to {most:g}); is it in another unit? Nothing is converted silently"
                )
    if problems:
        raise StudyError(problems)
    if "diameters" not in inputs and {"size", "number"} <= set(inputs):
        single = inputs["number"] <= 1
        inputs["diameters"] = np.empty(len(clinical), dtype=object)
        for i in range(len(clinical)):
            inputs["diameters"][i] = (inputs["size"][i],) if single[i] else ()
    if volume_ml is not None and "volume" not in inputs:
        inputs["volume"] = volume_ml.reindex(clinical["patient_id"]).to_numpy(float)
    return inputs


def _lists(cells: pd.Series, times: float) -> np.ndarray:
    """Cells such as `2.8;1.5` as tuples of numbers; () where missing."""
    result = np.empty(len(cells), dtype=object)
    for i, cell in enumerate(cells):
        result[i] = () if pd.isna(cell) else tuple(float(part) * times for part in str(cell).split(";"))
    return result


def score_table(
    study: dict[str, Any], clinical: pd.DataFrame, volume_ml: pd.Series | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(scores, notes). scores: patient_id, and per score `<id>` (number; the place of a stage's level) and
    `<id>_group` (text); recorded systems stand there by the variable's name. notes: NOTE_COLUMNS, a row a score.
    """
    inputs = score_inputs(study, clinical, volume_ml)
    scores = read_scores()
    columns = {"patient_id": clinical["patient_id"]}
    notes = []
    for name in wanted_scores(study):
        score = scores[name]
        found = evaluate(name, inputs)
        columns |= {name: found.value, f"{name}_group": found.group}
        remarks = ["formula rests on memory: have it checked"] if score["provenance"] == "memory" else []
        remarks += [score["note"]] if "note" in score else []
        remarks += [f"{key} assumed {value:g} for everyone" for key, value in found.assumed.items()]
        late = known_after_surgery(study, score)
        remarks += [f"postoperative here: {', '.join(late)} is known only after the operation"] if late else []
        timing = "post" if late else score["timing"]
        facts = [score["label"], timing, *(score[key] for key in ("purpose", "provenance", "citation"))]
        facts.append(score.get("scale", ""))
        missing = int(np.isnan(found.value).sum())
        used = ";".join(variables_used(study, score))
        notes.append([name, *facts, len(clinical) - missing, missing, "; ".join(remarks), used])
    for name in study["comparators"].get("recorded", []):
        variable = study["clinical"]["variables"][name]
        columns[name] = clinical[name].to_numpy(float)
        missing = int(clinical[name].isna().sum())
        facts = [variable["label"] or name, variable["timing"], "stage", "recorded", "as recorded in the table", ""]
        notes.append([name, *facts, len(clinical) - missing, missing, "", name])
    return pd.DataFrame(columns), pd.DataFrame(notes, columns=NOTE_COLUMNS)
