"""A frozen model applied to new patients, at another centre: what it asks of them, what it refuses, what it remarks.

A model's `inputs` (declared_inputs) stand in its JSON, so that nothing but the frozen files is needed. What lies
outside the declared inputs stops the run with every problem listed; what lies outside the training range is a warning.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recur.analysis_set import tumour_burden
from recur.cohort import by_id, id_problems, read_variables, stripped, unit_problems, without_codes
from recur.cox import NotEstimable
from recur.features.imported import ids_of
from recur.harmonisation import apply_combat
from recur.models import BURDEN, apply_model
from recur.scaling import scaling_of
from recur.signature import signature_scores
from recur.strata import strata_of
from recur.support import why_no_risk
from recur.tables import MANIFEST, SIGNIFICANT_DIGITS, StudyError, first_of, grouped, one_manifest, read_table

MEASURED = {"tumour_size": ("Maximum3DDiameter", "mm"), "tumour_volume": ("MeshVolume", "mm3")}
HEADING = re.compile(r"^(.*?)\s*\[([^\[\]]*)\]$")  # column [unit]
FEW = 10  # patients below whom a median says nothing of the unit


def declared_inputs(model: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """What a model asks of a new patient, for its JSON: id and centre columns, cells that mean missing, and the
    variables by term as the study declares them (column, kind, unit, levels, plausible range ...).

    settings: variables and inputs (recur.study.analysis_settings). A term that the study measures on the mask has a
    `measure`, the shape feature that gives it where the table has no such column.
    """
    own, variables = settings["inputs"], {}
    for term in [item["term"] for item in model["imputer"]["terms"]]:
        if term in settings["variables"]:
            variables[term] = settings["variables"][term]
            continue
        label = next(label for name, label in BURDEN.values() if name == term)
        declared = settings["variables"].get(own[term])
        measure, unit = MEASURED[term]
        measured = {"column": term, "kind": "numeric", "timing": "pre", "unit": unit, "measure": measure}
        # as tumour_burden does, values that are not positive become unknown: they have no logarithm
        variables[term] = (declared or measured) | {"label": label, "transform": "ln", "positive_only": True}
    variables |= {term: settings["variables"][term] for term in strata_terms(model)}
    columns = {key: own[key] for key in ("id", "centre", "missing_values", "phases")}
    columns |= {key: own[key] for key in ("size_column", "volume_column") if key in own}
    return columns | {"variables": variables}


def strata_terms(model: dict[str, Any]) -> list[str]:
    """The variables that choose a patient's baseline hazard; none of a model without strata."""
    return [item["term"] for item in model.get("strata", {}).get("variables", [])]


def input_fields(model: dict[str, Any]) -> list[dict[str, Any]]:
    """What is asked of a new patient, one dict an input, those in the equation first: term, label, unit, kind,
    options (names of the levels, [] for a number), transform, low and high (training range, in the input's unit or as
    places of the levels), range (plausible values) and floor (None where undeclared), used (in the equation).

    Strata come before the signature's score, the last one, where the model has them (`required`): they are never filled
    in.
    """
    columns: dict[str, dict[str, Any]] = {}
    for column in model["terms"]:
        if column["kind"] != "interaction":
            columns.setdefault(column["term"], column)
    ranges = {item["term"]: (item["low"], item["high"], item["transform"]) for item in model["imputer"]["terms"]}
    terms = [term for term in columns if term != "signature"]
    fields = []
    for term in [*terms, *(term for term in ranges if term not in columns)]:
        variable = model["inputs"]["variables"][term]
        low, high, transform = ranges[term]
        if term in columns and columns[term]["level"] is None:
            low, high = columns[term]["low"], columns[term]["high"]
        elif transform == "ln":
            low, high = float(np.exp(low)), float(np.exp(high))
        fields.append(
            {"term": term, "label": input_label(variable.get("label") or term, transform), "unit": variable["unit"]}
            | {
                "kind": variable["kind"],
                "options": levels_of(variable),
                "transform": transform,
                "low": low,
                "high": high,
            }
            | {"range": variable.get("range"), "floor": variable.get("floor"), "used": term in columns}
        )
    for term in strata_terms(model):
        variable = model["inputs"]["variables"][term]
        options = levels_of(variable)
        fields.append(
            {"term": term, "label": variable.get("label") or term, "unit": "", "kind": variable["kind"]}
            | {"options": options, "transform": "none", "low": 0.0, "high": len(options) - 1.0, "range": None}
            | {"floor": None, "used": True, "required": True}
        )
    if "signature" in columns:
        own = {key: columns["signature"][key] for key in ("term", "label", "unit", "kind", "transform", "low", "high")}
        fields.append(own | {"options": [], "range": None, "floor": None, "used": True, "required": True})
    return fields


def input_label(label: str, transform: str) -> str:
    """The name of what is entered: a variable labelled `ln AFP` is entered as AFP."""
    return label.removeprefix("ln ") if transform == "ln" else label


def levels_of(variable: dict[str, Any]) -> list[str]:
    """Names of the levels of a variable in the order of their codes 0, 1, ...; none of a number."""
    if variable["kind"] == "numeric":
        return []
    levels = [variable["negative"], variable["positive"]] if variable["kind"] == "binary" else variable["levels"]
    return [str(level) for level in levels]


def check_pair(name: str, model: dict[str, Any], signature: dict[str, Any] | None) -> None:
    """Raise StudyError when a model needs a signature and has none, or has that of another fit."""
    if not any(column["kind"] == "signature" for column in model["terms"]):
        return
    if signature is None:
        raise StudyError(f"{name}: the model has a radiomics signature; give --signature and --features")
    for key in ("analysis", "endpoint", "n", "events"):
        if signature.get(key) != model.get(key):
            raise StudyError(
                f"{name}: the signature is of another fit ({key} {signature.get(key)!r}, model {model.get(key)!r})"
            )


def read_new_patients(path: str | Path, models: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """The clinical table of new patients as the models want it: patient_id, centre, one column a term (n rows).

    Cells are written as in the study's own table. A heading may say its unit, `tumour_size_cm [cm]`. Raises StudyError
    with every problem: a missing column, another unit, an unknown level, no number, a value outside the plausible
    range. A column that only fills in missing cells may be absent.
    """
    inputs = next(iter(models.values()))["inputs"]
    variables = {term: v for model in models.values() for term, v in model["inputs"]["variables"].items()}
    needed = {column["term"] for model in models.values() for column in model["terms"]}
    needed |= {term for model in models.values() for term in strata_terms(model)}
    table, problems = without_units(stripped(read_table(path)), variables)
    table = without_codes(table, inputs["missing_values"], variables)
    missing = [inputs["id"]] if inputs["id"] not in table else []
    known = {term: v for term, v in variables.items() if v["column"] in table}
    lacking = {term: v for term, v in variables.items() if term in needed - set(known) and not v.get("measure")}
    missing += [v["column"] for v in lacking.values()]
    problems += [
        f"no column {column!r}; an empty cell is a missing value, a missing column is not" for column in missing
    ]
    if problems:
        raise StudyError(f"{path}: {problem}" for problem in problems)
    ids = table[inputs["id"]]
    # sizes and volumes of 0 are unknown, not an error: see declared_inputs
    read = {term: v | {"transform": "none"} if v.get("positive_only") else v for term, v in known.items()}
    values, found = read_variables(table, read, ids)
    problems = grouped(by_id(id_problems(ids) + found, ids))
    problems += unit_problems(values, known) if len(table) >= FEW else []
    if problems or table.empty:
        raise StudyError([f"{path}: {problem}" for problem in problems] or f"{path}: no rows")
    for term, variable in known.items():
        if variable.get("positive_only"):
            values[term] = values[term].where(values[term] > 0)
    values = values.map(as_stored)
    centre = table[inputs["centre"]].fillna("") if inputs["centre"] in table else ""
    return values.assign(patient_id=ids.astype(str), centre=centre).reset_index(drop=True)


def as_stored(value: float) -> float:
    """A number as a CSV of the study keeps it: models were fitted on, and applied to, numbers of so many digits."""
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def without_units(table: pd.DataFrame, variables: dict[str, Any]) -> tuple[pd.DataFrame, list[str]]:
    """The table with headings `column [unit]` cut to `column`, and those whose unit is not the declared one."""
    units = {v["column"]: v["unit"] for v in variables.values()}
    names, problems = {}, []
    for heading in table.columns:
        found = HEADING.match(str(heading))
        if heading in units or not found or found[1] not in units:
            continue
        names[heading] = found[1]
        if found[2].strip() != units[found[1]]:
            problems.append(
                f"column {heading!r}: the model was fitted in {units[found[1]] or 'no unit'}; nothing is converted"
            )
    return table.rename(columns=names), problems


def read_new_features(path: str | Path, signature: dict[str, Any], ids: pd.Series | None) -> pd.DataFrame:
    """The feature table of new patients: patient_id and features, rows in the order of `ids` (all rows without them).

    Raises StudyError for another manifest than the signature's, features that it lacks, patients without a row, and
    values that are missing: features are never imputed.
    """
    table = read_table(path)
    one_manifest({"the signature": signature["features_manifest"], str(path): table.attrs.get(MANIFEST)})
    if "patient_id" not in table:
        raise StudyError(f"{path}: no column 'patient_id'")
    table = table.assign(patient_id=ids_of(table["patient_id"]))
    names = [feature["name"] for feature in signature["features"]]
    problems = [f"no feature {name}" for name in names if name not in table]
    blank = table["patient_id"].eq("")
    if ids is None and blank.any():
        lines = first_of([row + 2 for row in np.flatnonzero(blank)])
        problems.append(f"{blank.sum()} rows without a patient id (line {lines}); give them one, or remove them")
    table = table[~blank].reset_index(drop=True)
    repeated = sorted(set(table["patient_id"][table["patient_id"].duplicated()]))
    problems += [f"patient {patient} stands there twice" for patient in repeated]
    if ids is not None:
        absent = [patient for patient in ids if patient not in set(table["patient_id"])]
        problems += [f"patient {patient} of the clinical table has no features" for patient in absent]
    if not problems:
        table = table if ids is None else table.set_index("patient_id").loc[list(ids)].reset_index()
        numbers = table[names].apply(pd.to_numeric, errors="coerce").astype(float)
        for patient, row in zip(table["patient_id"], ~np.isfinite(numbers.to_numpy()), strict=True):
            if row.any():
                problems.append(f"patient {patient}: {names[row.argmax()]} is missing; features are never imputed")
        table = table.assign(**numbers)
    if problems:
        raise StudyError(f"{path}: {problem}" for problem in problems)
    return table


def with_burden(frame: pd.DataFrame, features: pd.DataFrame | None, models: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """The clinical rows with the tumour's size or volume from its mask, where a model uses it and no column gave it."""
    for name, model in models.items():
        for term, variable in model["inputs"]["variables"].items():
            if not variable.get("measure") or term in frame:
                continue
            found = tumour_burden(features, frame, model["inputs"], model["inputs"]["phases"])
            if term not in found:
                raise StudyError(
                    f"{name}: no column {term!r} ({variable['unit']}) in the clinical table, and no feature "
                    f"original_shape_{variable['measure']} of the tumour"
                )
            frame = frame.merge(found[["patient_id", term]], on="patient_id", how="left")
            frame[term] = frame[term].map(as_stored)
    return frame


def score_of(signature: dict[str, Any], features: pd.DataFrame, centre: np.ndarray | None) -> np.ndarray:
    """The signature's score (n,) of the rows of a feature table; raises StudyError where it cannot be applied."""
    names = [feature["name"] for feature in signature["features"]]
    try:
        return signature_scores(signature, features[names].to_numpy(float), names, centre)
    except NotEstimable as error:
        raise StudyError(f"the signature cannot be applied: {error}") from error


def score_patients(
    models: dict[str, dict[str, Any]],
    signature: dict[str, Any] | None,
    frame: pd.DataFrame,
    features: pd.DataFrame | None,
) -> pd.DataFrame:
    """Every model on every patient: patient_id, model, lp, risk_<months>, group, warnings (joined by `; `)."""
    score, shared = None, [[] for _ in range(len(frame))]
    if signature is not None:
        centre = frame["centre"].to_numpy(object)
        if signature["harmonisation"]["kind"] != "none" and (centre == "").any():
            column = next(iter(models.values()))["inputs"]["centre"]
            raise StudyError(f"the signature is harmonised between centres; column {column!r} must name each patient's")
        score = score_of(signature, features, centre)
        shared = feature_warnings(signature, features, centre)
    parts = []
    for name, model in models.items():
        part = apply_model(model, frame, score).drop(columns="lp_competing", errors="ignore")
        part.insert(0, "patient_id", frame["patient_id"])
        part.insert(1, "model", name)
        part = part[[*[column for column in part if column != "group"], "group"]]
        signed = any(column["kind"] == "signature" for column in model["terms"])
        own = patient_warnings(model, frame, score, part["lp"].to_numpy())
        both = zip(own, shared, strict=True)
        part["warnings"] = ["; ".join(mine + (more if signed else [])) for mine, more in both]
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def patient_warnings(
    model: dict[str, Any], frame: pd.DataFrame, score: np.ndarray | None, lp: np.ndarray
) -> list[list[str]]:
    """Of every patient: inputs filled in or outside the training range, and horizons beyond its follow-up; why there is
    no risk at all in a stratum that training did not have.
    """
    found = stratum_warnings(model, frame)
    everyone = [
        f"no risk at {months:g} months: {why_no_risk(model, months)}"
        for months in model["horizons_months"]
        if why_no_risk(model, months)
    ]
    for field in input_fields(model):
        term, known = field["term"], field["term"] in frame
        values = score if field["kind"] == "signature" else frame[term].to_numpy(float) if known else None
        for i, texts in enumerate(found):
            value = np.nan if values is None else values[i]
            if np.isnan(value):
                if field["used"] and not field.get("required"):
                    texts.append(f"{field['label']} missing: filled in by the model's imputer")
            elif not field["low"] <= value <= field["high"]:
                own, low, high = (value_text(field, v) for v in (value, field["low"], field["high"]))
                unit = f" {field['unit']}".rstrip()
                texts.append(f"{field['label']} {own} outside the training range {low} to {high}{unit}")
    low, high = model["lp_range"]
    for i, texts in enumerate(found):
        if np.isfinite(lp[i]) and not low <= lp[i] <= high:
            texts.append(
                f"linear predictor {lp[i]:.3g} outside that of the training patients ({low:.3g} to {high:.3g})"
            )
        texts += everyone
    return found


def stratum_warnings(model: dict[str, Any], frame: pd.DataFrame) -> list[list[str]]:
    """Of every patient: why the stratum gives no risk, or none at a horizon."""
    if "strata" not in model:
        return [[] for _ in range(len(frame))]
    known = {level["stratum"]: level for level in model["strata"]["levels"]}
    names = " and ".join(item["label"] for item in model["strata"]["variables"])
    found = []
    for name in strata_of(frame, model["strata"]["variables"]):
        if name not in known:
            cause = f"the stratum {name} was not in training" if name else f"{names} is missing"
            found.append([f"no risk: {cause}, and a baseline hazard is never filled in"])
            continue
        level = known[name]
        found.append(
            [
                f"no risk at {months:g} months in the stratum {name}: {why_no_risk(level, months)}"
                for months in model["horizons_months"]
                if why_no_risk(level, months) and not why_no_risk(model, months)
            ]
        )
    return found


def value_text(field: dict[str, Any], value: float) -> str:
    """A value of an input as a reader knows it: the name of a level, a number with 4 digits."""
    return field["options"][int(value)] if field["options"] else f"{value:.4g}"


def feature_warnings(signature: dict[str, Any], features: pd.DataFrame, centre: np.ndarray) -> list[list[str]]:
    """Of every patient: features that the signature cuts off, and a centre that harmonisation does not know."""
    names = [feature["name"] for feature in signature["features"]]
    combat, limit = signature["harmonisation"], signature["winsorise_sd"]
    x = apply_combat(combat, features[names].to_numpy(float), centre)
    z = scaling_of(signature["features"], None).apply(x)
    found: list[list[str]] = [[] for _ in range(len(x))]
    beyond = np.argwhere(np.abs(z) > limit) if limit is not None else np.zeros((0, 2), int)
    for i, j in sorted(beyond.tolist(), key=lambda place: place[::-1]):
        found[i].append(f"{names[j]} is {z[i, j]:.1f} SD from the training mean, counted as {limit:g}")
    if combat["kind"] != "none":
        for i, name in enumerate(centre):
            if name != combat["reference"] and name not in combat["centres"]:
                how = "not harmonised" if combat["unseen_centre"] == "none" else "harmonised on the patients given here"
                found[i].append(f"centre {name} was not in training: {how}")
    return found
