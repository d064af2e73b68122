"""What a frozen model asks of a new patient: declared beside it in its JSON, and shown to whoever enters it."""

from __future__ import annotations

from typing import Any

import numpy as np

from recur.study.coding import input_label, levels_of

# Models of the tumour's size or volume alone stand beside the others wherever it is known (guard 21).
BURDEN = {
    "size_only": ("tumour_size", "Tumour size"),
    "volume_only": ("tumour_volume", "Tumour volume"),
}

MEASURED = {"tumour_size": ("Maximum3DDiameter", "mm"), "tumour_volume": ("MeshVolume", "mm3")}


def declared_inputs(model: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """What a model asks of a new patient, for its JSON: id and centre columns, cells that mean missing, and the
    variables by term as the study declares them (column, kind, unit, levels, plausible range ...).

    settings: variables and inputs (recur.study.settings.analysis_settings). A term that the study measures on the mask
    has a `measure`, the shape feature that gives it where the table has no such column.
    """
    asked = settings["inputs"]
    variables = {}
    for term in [item["term"] for item in model["imputer"]["terms"]]:
        if term in settings["variables"]:
            variables[term] = settings["variables"][term]
            continue
        label = next(label for name, label in BURDEN.values() if name == term)
        declared = settings["variables"].get(asked[term])
        measure, unit = MEASURED[term]
        measured = {"column": term, "kind": "numeric", "timing": "pre", "unit": unit, "measure": measure}
        # as tumour_burden does, values that are not positive become unknown: they have no logarithm
        variables[term] = (declared or measured) | {"label": label, "transform": "ln", "positive_only": True}
    variables |= {term: settings["variables"][term] for term in strata_terms(model)}
    columns = {key: asked[key] for key in ("id", "centre", "missing_values", "phases")}
    kept = ("size_column", "volume_column", "feature_id", "feature_missing_values", "feature_phase")
    columns |= {key: asked[key] for key in kept if key in asked}
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
            low = columns[term]["low"]
            high = columns[term]["high"]
        elif transform == "ln":
            low = float(np.exp(low))
            high = float(np.exp(high))
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
        signature_field = {
            key: columns["signature"][key] for key in ("term", "label", "unit", "kind", "transform", "low", "high")
        }
        fields.append(signature_field | {"options": [], "range": None, "floor": None, "used": True, "required": True})
    return fields


def used_terms(model: dict[str, Any]) -> set[str]:
    """The terms in a model's equation, and those that choose its baseline hazard."""
    return {column["term"] for column in model["terms"]} | set(strata_terms(model))


def value_text(field: dict[str, Any], value: float) -> str:
    """A value of an input as a reader knows it: the name of a level, a number with 4 digits."""
    if field["options"]:
        return field["options"][int(value)]
    return f"{value:.4g}"
