"""Clinical variables as columns of a Cox model, with the imputation learnt on training predictors only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def learn_columns(clinical: pd.DataFrame, terms: list[str], variables: dict[str, Any]) -> list[dict[str, Any]]:
    """Describe the model columns of clinical terms from training rows.

    Each column is a dict: name, term, label, unit, kind, transform, level (of a category: its place among the
    levels), impute (value for a missing cell: median, or mode), low and high (training range, before the transform).
    JSON-ready. A numeric or binary term of which training knows nothing gets no column.
    """
    columns = []
    for term in terms:
        variable, values = variables[term], clinical[term]
        label = variable["label"] or term
        base = {"term": term, "label": label, "unit": variable["unit"], "kind": variable["kind"]}
        base |= {"transform": variable["transform"], "level": None}
        if variable["kind"] == "categorical":
            known = values.dropna().astype(float)
            mode = float(known.mode().min()) if len(known) else 0.0
            for code, level in enumerate(variable["levels"][1:], 1):
                extra = {"name": f"{term}:{level}", "level": code, "impute": mode, "low": 0.0, "high": 1.0}
                columns.append(base | extra | {"label": f"{label}: {level}"})
            continue
        known = values.dropna().astype(float)
        if not len(known):
            continue  # nothing is known of it in training
        impute = float(known.median() if variable["kind"] == "numeric" else known.mode().min())
        low, high = float(known.min()), float(known.max())
        columns.append(base | {"name": term, "impute": impute, "low": low, "high": high})
    return columns


def encode(clinical: pd.DataFrame, columns: list[dict[str, Any]]) -> np.ndarray:
    """Design matrix (n, p) of the described columns; missing cells get the frozen imputation."""
    design = np.empty((len(clinical), len(columns)))
    for j, column in enumerate(columns):
        values = clinical[column["term"]]
        filled = values.astype(float).fillna(column["impute"]).to_numpy()
        if column["level"] is not None:
            design[:, j] = filled == column["level"]
        else:
            design[:, j] = np.log(filled) if column["transform"] == "ln" else filled
    return design
