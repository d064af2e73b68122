"""One table of all ablations: cross-validated, apparent and held-out, each compared with all features."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from recur.predict.apply import apply_models
from recur.resampling.ablation import ALL, COLUMNS, ablation_rows, nested_rows
from recur.resampling.nested import nested_performance
from recur.vocabulary import TRAIN, apparent

Rows = tuple[pd.DataFrame, np.ndarray, list[str]]  # of read_rows: patients, features (n, p), their names


def ablation_table(
    frozen: dict[str, dict[str, Any]], nested: pd.DataFrame, sides: Iterable[Rows], seed: int
) -> pd.DataFrame:
    """C (or AUC) of every frozen ablation in every cohort, with the difference from all features (COLUMNS).

    frozen: ablation -> its models and signature, or why it `failed`; nested: predictions of the nested
    cross-validation; sides: training and held-out rows.
    """
    frozen = {ALL: frozen[ALL]} | frozen
    fits = {name: content for name, content in frozen.items() if "failed" not in content}
    sizes = {name: (content["features"], len(content["signature"]["features"])) for name, content in fits.items()}
    cross_validated = {name: nested_performance(nested[nested["ablation"] == name], seed) for name in fits}
    metric = "auc" if "risk" in nested else "c_harrell"
    parts = [nested_rows(cross_validated, sizes, metric), _failed(frozen)]
    for frame, values, names in sides:
        if frame.empty:
            continue
        applied = {
            name: apply_models(content["models"], content["signature"], frame, values, names)
            for name, content in fits.items()
        }
        for cohort, patients in frame.groupby("cohort", sort=False):
            scores = {name: _linear_predictors(table, cohort) for name, table in applied.items()}
            parts.append(ablation_rows(scores, patients, apparent(cohort), sizes, tested=cohort != TRAIN))
    filled = [part for part in parts if len(part)]
    return pd.concat(filled or parts)


def _failed(frozen: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """A row for each ablation that could not be fitted."""
    rows = [
        {"ablation": name, "features": content["features"], "method": f"not estimated: {content['failed']}"}
        for name, content in frozen.items()
        if "failed" in content
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _linear_predictors(applied: pd.DataFrame, cohort: str) -> dict[str, pd.Series]:
    """Model -> linear predictor by patient, in one cohort."""
    rows = applied[applied["cohort"] == cohort]
    return {model: part.set_index("patient_id")["lp"] for model, part in rows.groupby("model", sort=False)}
