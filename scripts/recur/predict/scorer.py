"""Frozen models on new patients: who is scored, who is refused and why, and what a reader should know of a score.

A patient whose cells lie outside the declared inputs has a reason instead of a score; what lies outside the training
range is a warning.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.predict.apply import apply_model
from recur.predict.inputs import input_fields, used_terms, value_text
from recur.predict.signature import signature_scores
from recur.predict.strata import strata_of
from recur.predict.support import why_no_risk
from recur.statistics.combat import MIN_UNSEEN, apply_combat
from recur.statistics.estimate import NotEstimable
from recur.statistics.scaling import scaling_of
from recur.tables import (
    Problem,
    StudyError,
    told,
)


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
