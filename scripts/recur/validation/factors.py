"""Survival by the levels of each clinical factor, the first table of a prognostic-factor study; nothing is selected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.predict.apply import KEPT
from recur.statistics.survival import logrank_trend
from recur.study.coding import input_label
from recur.validation.survival import survival_tables
from recur.vocabulary import TRAIN


def factor_groups(frame: pd.DataFrame, terms: list[str], variables: dict[str, Any]) -> pd.DataFrame:
    """Rows of the patients by factor, as survival_tables takes them: model is the factor's label, group its level.

    A number is halved at the median of the training rows (stated in the level's name; is_upper_half tells the halves
    apart); a missing value leaves the patient out of that factor.
    """
    keep = [name for name in KEPT if name in frame]
    parts = []
    for term in terms:
        variable, values = variables[term], frame[term].astype(float)
        label = factor_label(variable, term)
        known = values.notna()
        if variable["kind"] == "numeric":
            cut = float(values[frame["cohort"] == TRAIN].median())
            unit = f" {variable['unit']}" if variable["unit"] else ""
            is_upper = values > cut
            level = np.where(is_upper, f"above {cut:.4g}{unit}", f"up to {cut:.4g}{unit}")
        else:
            is_upper = pd.Series(False, index=frame.index)
            names = variable.get("levels", ["no", "yes"])
            level = np.array([str(names[int(code)]) if code == code else "" for code in values], dtype=object)
        groups = {"group": level[known.to_numpy()], "is_upper_half": is_upper[known]}
        parts.append(frame.loc[known, keep].assign(model=label, **groups))
    return pd.concat(parts, ignore_index=True)


def factor_tables(
    frame: pd.DataFrame, terms: list[str], variables: dict[str, Any], horizons: list[float]
) -> dict[str, pd.DataFrame]:
    """km, logrank and rates per factor (at least one) and level of every cohort; `factor` holds the factor's label.

    logrank's p_trend is the test for trend over the levels of an ordinal factor, NaN for others and for two levels.
    """
    groups = factor_groups(frame, terms, variables)
    tables = {
        name: table[table["model"] != "all"].rename(columns={"model": "factor"}).reset_index(drop=True)
        for name, table in survival_tables(groups, horizons).items()
    }
    found = trends(frame, terms, variables)
    keys = zip(tables["logrank"]["factor"], tables["logrank"]["cohort"], strict=True)
    tables["logrank"].insert(5, "p_trend", [found.get(key, np.nan) for key in keys])
    return tables


def trends(frame: pd.DataFrame, terms: list[str], variables: dict[str, Any]) -> dict[tuple[str, str], float]:
    """p of the log-rank test for trend by (factor, cohort), for ordinal factors with three levels or more."""
    found = {}
    for term in terms:
        if variables[term]["kind"] != "ordinal":
            continue
        for cohort, part in frame.dropna(subset=[term]).groupby("cohort"):
            if part[term].nunique() > 2:
                found[factor_label(variables[term], term), str(cohort)] = logrank_trend(
                    part["time"], part["event"], part[term], np.unique(part[term])
                )["p"]
    return found


def factor_label(variable: dict[str, Any], term: str) -> str:
    return input_label(variable["label"] or term, variable["transform"])
