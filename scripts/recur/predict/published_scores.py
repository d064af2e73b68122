"""Recalibrated published scores, applied to any rows that have them. Nothing is fitted."""

from __future__ import annotations

from typing import Any

import pandas as pd
from scipy.special import expit

from recur.predict.apply import KEPT, predicted_risks
from recur.predict.model import competing_predictor, linear_predictor

PREFIX = "score_"


def apply_scores(models: dict[str, dict[str, Any]], frame: pd.DataFrame) -> pd.DataFrame:
    """Every score of every row that has it, like predict.apply.apply_models; `published` is the score itself, `lp` the
    recalibrated predictor, `group` the score's own group.
    """
    known = [name for name in KEPT if name in frame]
    parts = []
    for name, model in models.items():
        column = f"{PREFIX}{model['score']}"
        rows = frame[frame[column].notna()]
        part = rows[known].copy()
        part.insert(0, "model", name)
        part["published"] = rows[column].to_numpy(float)
        part["lp"] = linear_predictor(model, rows, None)
        group = rows.get(f"{column}_group")
        if group is None:
            part["group"] = "all"
        else:
            part["group"] = group.fillna("all").to_numpy(object)
        if "competing" in model:
            part["lp_competing"] = competing_predictor(model, rows, None)
        for months in model["horizons_months"]:
            part[f"risk_{months:g}"] = predicted_risks(model, part, months)[:, 0]
        if "intercept" in model:
            part["risk"] = expit(model["intercept"] + part["lp"])
        parts.append(part)
    if parts:
        return pd.concat(parts, ignore_index=True)
    return pd.DataFrame(columns=["model", *known, "published", "lp"])
