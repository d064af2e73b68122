"""Clinical variables as columns of a Cox model; missing cells are filled by the frozen imputer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.imputation import columns_of, complete


def learn_columns(clinical: pd.DataFrame, terms: list[str], variables: dict[str, Any]) -> list[dict[str, Any]]:
    """Describe the model columns of clinical terms from training rows.

    Each column is a dict: name, term, label, unit, kind, transform, level (of a category: its place among the
    levels), low and high (training range, before the transform). JSON-ready. A term of which training knows nothing
    gets no column.
    """
    columns = []
    for term in terms:
        variable = variables[term]
        known = clinical[term].dropna().astype(float)
        if not len(known):
            continue
        label = variable["label"] or term
        base = {"term": term, "label": label, "unit": variable["unit"], "kind": variable["kind"]}
        base |= {
            "transform": variable["transform"],
            "level": None,
            "low": float(known.min()),
            "high": float(known.max()),
        }
        if variable["kind"] == "categorical":
            for code, (name, level) in enumerate(
                zip(columns_of(term, variable), variable["levels"][1:], strict=True), 1
            ):
                extra = {"name": name, "level": code, "label": f"{label}: {level}", "low": 0.0, "high": 1.0}
                columns.append(base | extra)
        else:
            columns.append(base | {"name": term})
    return columns


def encode(clinical: pd.DataFrame, columns: list[dict[str, Any]], imputer: dict[str, Any]) -> np.ndarray:
    """Design matrix (n, p) of the described columns; missing cells get the frozen conditional means."""
    return complete(clinical, imputer)[[column["name"] for column in columns]].to_numpy()
