"""Clinical variables as columns of a Cox model, with the imputation learnt on training predictors only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def learn_columns(clinical: pd.DataFrame, terms: list[str], variables: dict[str, Any]) -> list[dict[str, Any]]:
    """Describe the model columns of clinical terms from training rows.

    Each column is a dict: name, term, label, unit, kind, transform, level (categorical), impute (value for a
    missing cell: median, or mode), low and high (training range, before the transform). JSON-ready.
    """
    columns = []
    for term in terms:
        variable, values = variables[term], clinical[term]
        label = variable["label"] or term
        base = {"term": term, "label": label, "unit": variable["unit"], "kind": variable["kind"]}
        base |= {"transform": variable["transform"], "level": None}
        if variable["kind"] == "categorical":
            levels = [str(level) for level in variable["levels"]]
            counts = values.value_counts()
            mode = max(levels, key=lambda level: (counts.get(level, 0), -levels.index(level)))
            for level in levels[1:]:
                extra = {"name": f"{term}:{level}", "level": level, "impute": mode, "low": 0.0, "high": 1.0}
                columns.append(base | extra | {"label": f"{label}: {level}"})
            continue
        known = values.dropna().astype(float)
        if variable["kind"] == "numeric":
            impute = float(known.median()) if len(known) else 0.0
        else:
            impute = float(known.mode().min()) if len(known) else 0.0
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
        columns.append(base | {"name": term, "impute": impute, "low": low, "high": high})
    return columns


def encode(clinical: pd.DataFrame, columns: list[dict[str, Any]]) -> np.ndarray:
    """Design matrix (n, p) of the described columns; missing cells get the frozen imputation."""
    design = np.empty((len(clinical), len(columns)))
    for j, column in enumerate(columns):
        values = clinical[column["term"]]
        if column["level"] is not None:
            design[:, j] = values.fillna(column["impute"]).astype(str).eq(column["level"])
        else:
            filled = values.astype(float).fillna(column["impute"]).to_numpy()
            design[:, j] = np.log(filled) if column["transform"] == "ln" else filled
    return design
