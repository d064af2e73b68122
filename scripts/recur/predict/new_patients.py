"""A frozen model applied to new patients, at another centre: what it refuses, what it remarks.

A model's `inputs` (recur.predict.inputs) stand in its JSON, so that nothing but the frozen files is needed. What is
wrong with the table as a whole stops the run with every problem listed; a patient whose cells lie outside the declared
inputs has a reason instead of a score; what lies outside the training range is a warning.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recur.cohort.analysis_set import tumour_burden
from recur.cohort.cells import cells_of
from recur.cohort.exclusions import by_id
from recur.cohort.identity import id_problems
from recur.cohort.variables import read_variables, unit_problems
from recur.features.cells import ids_of, numbers_of
from recur.features.names import within_source
from recur.features.one_row import long_to_wide
from recur.features.tumour_size import MEASURES
from recur.predict.apply import apply_model
from recur.predict.inputs import input_fields, used_terms, value_text
from recur.predict.signature import signature_scores
from recur.predict.strata import strata_of
from recur.predict.support import why_no_risk
from recur.statistics.combat import MIN_UNSEEN, apply_combat
from recur.statistics.estimate import NotEstimable
from recur.statistics.scaling import scaling_of
from recur.study import coding
from recur.study.coding import levels_of
from recur.tables import (
    MANIFEST,
    SIGNIFICANT_DIGITS,
    Problem,
    StudyError,
    first_of,
    id_columns,
    one_manifest,
    read_table,
    told,
    with_id,
)

HEADING = re.compile(r"^(.*?)\s*\[([^\[\]]*)\]$")  # column [unit]
FEW = 10  # patients below whom a median says nothing of the unit


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


def read_new_patients(
    path: str | Path,
    models: dict[str, dict[str, Any]],
    sheet: str | None = None,
    centres: Sequence[str] = (),
) -> tuple[pd.DataFrame, dict[str, list[Problem]]]:
    """The clinical table of new patients as the models want it: patient_id, centre, one column a term (n rows), and
    what is wrong with single patients: by term the cells that are not as declared (NaN in the table), under "" the rows
    whose id nobody can be found by (not in the table).

    Cells are written as in the study's own table. A heading may say its unit, `tumour_size_cm [cm]`. Raises StudyError
    with every problem of the table as a whole: a missing column, another unit, another coding. A column that only
    fills in missing cells may be absent. centres: those that a signature knows, by which the labels of an SPSS or Stata
    file are told from its codes.
    """
    inputs = next(iter(models.values()))["inputs"]
    variables = {term: v for model in models.values() for term, v in model["inputs"]["variables"].items()}
    needed = {term for model in models.values() for term in used_terms(model)}
    columns = {*id_columns(inputs["id"]), inputs["centre"], *(v["column"] for v in variables.values())}
    read = read_table(path, sheet, lambda name: name in columns or HEADING.match(name))
    table, problems = without_units(read, variables)
    named = {inputs["id"]: None, inputs["centre"]: list(centres)}
    table, _ = cells_of(table, path, inputs["missing_values"], variables, columns, named)
    table = with_id(table, inputs["id"])
    missing = [inputs["id"]] if inputs["id"] not in table else []
    known = {term: v for term, v in variables.items() if v["column"] in table}
    lacking = {term: v for term, v in variables.items() if term in needed - set(known) and not v.get("measure")}
    missing += [v["column"] for v in lacking.values()]
    problems += [
        f"no column {column!r}; an empty cell is a missing value, a missing column is not" for column in missing
    ]
    problems += shifted_levels(table, known)
    if problems or table.empty:
        raise StudyError([f"{path}: {problem}" for problem in problems] or f"{path}: no rows")
    ids = table[inputs["id"]]
    # sizes and volumes of 0 are unknown, not an error: see declared_inputs
    plain = {term: v | {"transform": "none"} if v.get("positive_only") else v for term, v in known.items()}
    wrong = {"": by_id(id_problems(ids), ids)}
    values = pd.DataFrame(index=table.index)
    for term, variable in plain.items():
        numbers, bad = read_variables(table, {term: variable}, ids)
        values[term] = numbers[term].mask(numbers.index.isin([problem.who for problem in bad]))
        if variable.get("positive_only"):
            values[term] = values[term].where(values[term] > 0)
        wrong[term] = by_id(bad, ids)
    if len(table) >= FEW:
        problems = unit_problems(values, known)
    else:
        problems = []
    if problems:
        raise StudyError(f"{path}: {problem}" for problem in problems)
    centre = ""
    if inputs["centre"] in table:
        centre = table[inputs["centre"]].fillna("")
    values = values.map(as_stored).assign(patient_id=ids.astype(object), centre=centre)
    nobody = {problem.line - 2 for problem in wrong[""]}
    return values[~values.index.isin(nobody)].reset_index(drop=True), wrong


def shifted_levels(table: pd.DataFrame, variables: dict[str, Any]) -> list[str]:
    """Lines on columns of numbered levels that hold the next number, such as 2 beside a declared 0 and 1: whoever codes
    so means another thing by 1, and a single patient's cell shows it.
    """
    problems = []
    for variable in variables.values():
        levels = levels_of(variable)
        if not levels or not all(level.isdecimal() for level in levels):
            continue
        numbers = [int(level) for level in levels]
        beside = {str(number) for number in (min(numbers) - 1, max(numbers) + 1) if number >= 0}
        cells = coding.as_declared(table[variable["column"]], [*levels, *beside])
        if cells.isin(beside).any():
            problems.append(
                f"column {variable['column']} holds {coding.values_of(cells)}, beyond the declared "
                f"{', '.join(levels)}: another coding? write it as the study did, and leave unknown cells empty"
            )
    return problems


def as_stored(value: float) -> float:
    """A number as a CSV of the study keeps it: models were fitted on, and applied to, numbers of so many digits."""
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def without_units(table: pd.DataFrame, variables: dict[str, Any]) -> tuple[pd.DataFrame, list[str]]:
    """The table with headings `column [unit]` cut to `column`, and those whose unit is not the declared one."""
    units = {v["column"]: v["unit"] for v in variables.values()}
    names = {}
    problems = []
    for heading in table.columns:
        parts = HEADING.match(str(heading))
        if heading in units or not parts or parts[1] not in units:
            continue
        names[heading] = parts[1]
        if parts[2].strip() != units[parts[1]]:
            problems.append(
                f"column {heading!r}: the model was fitted in {units[parts[1]] or 'no unit'}; nothing is converted"
            )
    return table.rename(columns=names), problems


def read_new_features(
    path: str | Path,
    signature: dict[str, Any],
    ids: pd.Series | None,
    inputs: dict[str, Any] | None = None,
    sheet: str | None = None,
) -> tuple[pd.DataFrame, list[Problem]]:
    """The feature table of new patients: patient_id and features, rows in the order of `ids` (all rows without them);
    and who lacks a feature, has no row or several: features are never imputed (NaN).

    inputs: a model's (id column of the study's own feature table, its cells that mean missing). Raises StudyError for
    another manifest than the signature's, and features that the table lacks.
    """
    inputs = inputs or {}
    names = [feature["name"] for feature in signature["features"]]
    id_of_study = inputs.get("feature_id") or "patient_id"
    sizes = {inputs.get("size_column"), inputs.get("volume_column")}

    def used(column: str) -> bool:
        known = {"patient_id", *id_columns(id_of_study), *names, *sizes, *long, inputs.get("feature_phase")}
        return column in known or column.endswith(tuple(MEASURES.values()))

    # of a long table the features are <phase>_<column>
    if "feature_phase" in inputs:
        long = {within_source(name) for name in names}
    else:
        long = set()
    table = with_id(read_table(path, sheet, used), id_of_study)
    one_manifest({"the signature": signature["features_manifest"], str(path): table.attrs.get(MANIFEST)})
    id_column = id_of_study if id_of_study in table else "patient_id"
    if id_column not in table:
        raise StudyError(f"{path}: no column {id_of_study!r}, which holds the patients' ids; add it")
    if inputs.get("feature_phase") in table:
        wide = long_to_wide(table, ids_of(table[id_column]), inputs["feature_phase"], inputs["phases"])
        table = wide.rename_axis(id_column).reset_index()
    absent = [name for name in names if name not in table]
    if absent:
        more = ""
        if len(absent) > 1:
            more = f"; of {len(absent)} missing ones"
        raise StudyError(f"{path}: no feature {first_of(absent)}{more}; extract them as the study did")
    table = table.assign(patient_id=ids_of(table[id_column]))
    given = table["patient_id"]
    problems = []
    if ids is None:
        problems += by_id(id_problems(given.mask(given == "")), given.mask(given == ""))
        table = table[~table.index.isin([problem.line - 2 for problem in problems])].reset_index(drop=True)
        ids = table["patient_id"]
    several = set(given[given.duplicated()])
    problems += [Problem(p, "stands in the feature table twice; remove one row") for p in ids if p in several]
    lost = sorted(set(ids) - set(given))
    problems += [Problem(p, "has no row in the feature table") for p in lost]
    table = table[~table["patient_id"].isin(several)].set_index("patient_id").reindex(list(ids))
    columns = [column for column in table if column != id_of_study and used(column)]
    table = numbers_of(table[columns], inputs.get("feature_missing_values", []))
    table = table.rename_axis("patient_id").reset_index()
    problems += gap_problems(table, names, {problem.who for problem in problems})
    return table, problems


def gap_problems(table: pd.DataFrame, names: list[str], refused: set[Any]) -> list[Problem]:
    """Patients who lack one of the features `names`, but for those who are refused already."""
    problems = []
    for patient, gaps in zip(table["patient_id"], table[names].isna().to_numpy(), strict=True):
        if gaps.any() and patient not in refused:
            problems.append(Problem(patient, f"{names[gaps.argmax()]} is missing; features are never imputed"))
    return problems


def with_burden(frame: pd.DataFrame, features: pd.DataFrame | None, models: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """The clinical rows with the tumour's size or volume from its mask, where a model uses it and no column gave it."""
    for name, model in models.items():
        for term, variable in model["inputs"]["variables"].items():
            if not variable.get("measure") or term in frame:
                continue
            burden = tumour_burden(features, frame, model["inputs"], model["inputs"]["phases"])
            if term not in burden:
                raise StudyError(
                    f"{name}: no column {term!r} ({variable['unit']}) in the clinical table, and no feature "
                    f"original_shape_{variable['measure']} of the tumour; give one of them"
                )
            frame = frame.merge(burden[["patient_id", term]], on="patient_id", how="left")
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
    wrong: dict[str, list[Problem]] | None = None,
) -> pd.DataFrame:
    """Every model on every patient: patient_id, model, lp, risk_<months>, group, warnings (joined by `; `), and reason,
    why there is no score.

    wrong: by term what stands against a patient (read_new_patients), under `signature` that of the features. A patient
    is refused by the models that use the term; where it only fills in others, its cell counts as missing.
    """
    wrong = wrong or {}
    score = None
    shared = {}
    if signature is not None:
        check_centres(signature, frame, next(iter(models.values()))["inputs"]["centre"])
        gone = [problem.who for problem in wrong.get("signature", [])]
        sound = np.flatnonzero(~frame["patient_id"].isin(gone))
        centre = frame["centre"].to_numpy(object)[sound]
        score = np.full(len(frame), np.nan)
        score[sound] = score_of(signature, features.iloc[sound], centre)
        shared = dict(zip(sound.tolist(), feature_warnings(signature, features.iloc[sound], centre), strict=True))
    parts = []
    for name, model in models.items():
        refused: dict[str, list[str]] = {}
        for problem in refusing(model, wrong, frame):
            refused.setdefault(name_of(problem), []).append(told(problem))
        good = np.flatnonzero(~frame["patient_id"].isin(list(refused)))
        part = scored(model, frame.iloc[good].reset_index(drop=True), None if score is None else score[good])
        signed = any(column["kind"] == "signature" for column in model["terms"])
        more = [shared.get(i, []) if signed else [] for i in good]
        remarks = remarks_on(model, wrong)
        part["warnings"] = [
            "; ".join(remarks.get(patient, []) + of_model + of_features)
            for patient, of_model, of_features in zip(part["patient_id"], part["warnings"], more, strict=True)
        ]
        rest = [(who, "", "; ".join(dict.fromkeys(reasons))) for who, reasons in refused.items()]
        part = pd.concat([part, pd.DataFrame(rest, columns=["patient_id", "warnings", "reason"])], ignore_index=True)
        place = {patient: i for i, patient in enumerate(frame["patient_id"])}
        part = part.sort_values("patient_id", key=lambda ids, place=place: ids.map(place), kind="stable")
        part.insert(1, "model", name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def scored(model: dict[str, Any], rows: pd.DataFrame, score: np.ndarray | None) -> pd.DataFrame:
    """A model on rows that it takes: patient_id, lp, risk_<months>, group, warnings (a list each), reason (empty)."""
    result = apply_model(model, rows, score).drop(columns=["lp_competing", "stratum"], errors="ignore")
    result = result[[*[column for column in result if column != "group"], "group"]]
    result.insert(0, "patient_id", rows["patient_id"])
    warnings = pd.Series(patient_warnings(model, rows, score, result["lp"].to_numpy()), dtype=object)
    return result.assign(warnings=warnings, reason="")


def name_of(problem: Problem) -> str:
    """The patient of a problem; a row without an id is `(line 7)`."""
    if pd.notna(problem.who):
        return str(problem.who)
    return f"(line {problem.line})"


def refusing(model: dict[str, Any], wrong: dict[str, list[Problem]], frame: pd.DataFrame) -> list[Problem]:
    """Why a model refuses patients: what is wrong with their id or a term it uses, and strata without a baseline."""
    terms = used_terms(model)
    variables = model["inputs"]["variables"]
    needed = {"", *terms}
    if any(variables[term].get("measure") for term in terms & set(variables)):
        needed.add("signature")  # a size or volume of the mask comes with the features
    reasons = [problem for term, problems in wrong.items() if term in needed for problem in problems]
    said = {name_of(problem) for problem in reasons}
    strata = zip(frame["patient_id"], stratum_refusals(model, frame), strict=True)
    return reasons + [Problem(patient, text) for patient, text in strata if text and patient not in said]


def remarks_on(model: dict[str, Any], wrong: dict[str, list[Problem]]) -> dict[str, list[str]]:
    """By patient the bad cells of columns that only fill in others: they count as missing."""
    spare = set(model["inputs"]["variables"]) - used_terms(model)
    remarks = {}
    for problem in [problem for term in spare for problem in wrong.get(term, [])]:
        remarks.setdefault(name_of(problem), []).append(f"{told(problem)}; it counts as missing")
    return {who: sorted(texts) for who, texts in remarks.items()}


def known_centres(signature: dict[str, Any] | None) -> list[str]:
    """The centres between which a signature is harmonised."""
    combat = (signature or {}).get("harmonisation", {"kind": "none"})
    if combat["kind"] == "none":
        return []
    return [combat["reference"], *combat["centres"]]


def check_centres(signature: dict[str, Any], frame: pd.DataFrame, column: str) -> None:
    """Raise StudyError where nobody has the centre that the signature's harmonisation needs."""
    if signature["harmonisation"]["kind"] != "none" and len(frame) and (frame["centre"] == "").all():
        raise StudyError(f"the signature is harmonised between centres; column {column!r} must name each patient's")


def centre_problems(signature: dict[str, Any], frame: pd.DataFrame, column: str, gone: list[Problem]) -> list[Problem]:
    """Patients whose centre the signature's harmonisation cannot be applied to; gone: who is refused already."""
    combat = signature["harmonisation"]
    centre = frame["centre"]
    if combat["kind"] == "none":
        return []
    check_centres(signature, frame, column)
    left = ~frame["patient_id"].isin([problem.who for problem in gone])
    counts = centre[left].value_counts()
    known = known_centres(signature)
    problems = []
    for patient, name in zip(frame["patient_id"][left], centre[left], strict=True):
        if name == "":
            problems.append(
                Problem(patient, f"column {column}: empty, and the signature is harmonised between centres")
            )
        elif name not in known and combat["unseen_centre"] == "features_only" and counts[name] < MIN_UNSEEN:
            text = f"centre {{}} is new and has {counts[name]} patients; its location and scale need {MIN_UNSEEN}"
            problems.append(Problem(patient, text, (name,)))
        elif name not in known and combat["unseen_centre"] not in ("none", "features_only"):
            text = "centre {} was not in training, and the study declares no harmonisation.unseen_centre"
            problems.append(Problem(patient, text, (name,)))
    return problems


def patient_warnings(
    model: dict[str, Any], frame: pd.DataFrame, score: np.ndarray | None, lp: np.ndarray
) -> list[list[str]]:
    """Of every patient: inputs filled in or outside the training range, and horizons beyond its follow-up."""
    remarks = stratum_warnings(model, frame)
    everyone = [
        f"no risk at {months:g} months: {why_no_risk(model, months)}"
        for months in model["horizons_months"]
        if why_no_risk(model, months)
    ]
    for field in input_fields(model):
        term = field["term"]
        known = field["term"] in frame
        values = None
        if field["kind"] == "signature":
            values = score
        elif known:
            values = frame[term].to_numpy(float)
        for i, texts in enumerate(remarks):
            value = np.nan if values is None else values[i]
            if np.isnan(value):
                if field["used"] and not field.get("required"):
                    texts.append(f"{field['label']} missing: filled in by the model's imputer")
            elif not field["low"] <= value <= field["high"]:
                entered, low, high = (value_text(field, v) for v in (value, field["low"], field["high"]))
                unit = f" {field['unit']}".rstrip()
                texts.append(f"{field['label']} {entered} outside the training range {low} to {high}{unit}")
    low, high = model["lp_range"]
    for i, texts in enumerate(remarks):
        if np.isfinite(lp[i]) and not low <= lp[i] <= high:
            texts.append(
                f"linear predictor {lp[i]:.3g} outside that of the training patients ({low:.3g} to {high:.3g})"
            )
        texts += everyone
    return remarks


def stratum_refusals(model: dict[str, Any], frame: pd.DataFrame) -> list[str]:
    """Of every patient: why the stratum gives no risk at all; "" where it gives one."""
    if "strata" not in model:
        return [""] * len(frame)
    known = {level["stratum"] for level in model["strata"]["levels"]}
    names = " and ".join(item["label"] for item in model["strata"]["variables"])
    refusals = []
    for name in strata_of(frame, model["strata"]["variables"]):
        if name:
            cause = f"the stratum {name} was not in training"
        else:
            cause = f"{names} is missing"
        refusals.append("" if name in known else f"no risk: {cause}, and a baseline hazard is never filled in")
    return refusals


def stratum_warnings(model: dict[str, Any], frame: pd.DataFrame) -> list[list[str]]:
    """Of every patient: at which horizons the stratum gives no risk."""
    if "strata" not in model:
        return [[] for _ in range(len(frame))]
    known = {level["stratum"]: level for level in model["strata"]["levels"]}
    remarks = []
    for name in strata_of(frame, model["strata"]["variables"]):
        months_of = model["horizons_months"] if name in known else []
        remarks.append(
            [
                f"no risk at {months:g} months in the stratum {name}: {why_no_risk(known[name], months)}"
                for months in months_of
                if why_no_risk(known[name], months) and not why_no_risk(model, months)
            ]
        )
    return remarks


def feature_warnings(signature: dict[str, Any], features: pd.DataFrame, centre: np.ndarray) -> list[list[str]]:
    """Of every patient: features that the signature cuts off, and a centre that harmonisation does not know."""
    names = [feature["name"] for feature in signature["features"]]
    combat = signature["harmonisation"]
    limit = signature["winsorise_sd"]
    x = apply_combat(combat, features[names].to_numpy(float), centre)
    z = scaling_of(signature["features"], None).apply(x)
    remarks: list[list[str]] = [[] for _ in range(len(x))]
    if limit is not None:
        beyond = np.argwhere(np.abs(z) > limit)
    else:
        beyond = np.zeros((0, 2), int)
    for i, j in sorted(beyond.tolist(), key=lambda place: place[::-1]):
        remarks[i].append(f"{names[j]} is {z[i, j]:.1f} SD from the training mean, counted as {limit:g}")
    if combat["kind"] != "none":
        for i, name in enumerate(centre):
            if name != combat["reference"] and name not in combat["centres"]:
                how = "harmonised on the patients given here"
                if combat["unseen_centre"] == "none":
                    how = "not harmonised"
                remarks[i].append(f"centre {name} was not in training: {how}")
    return remarks
