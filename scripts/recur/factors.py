"""Survival by the levels of each clinical factor, the first table of a prognostic-factor study; nothing is selected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.validation import survival_tables


def factor_groups(frame: pd.DataFrame, terms: list[str], variables: dict[str, Any]) -> pd.DataFrame:
    """Rows of the patients by factor, as survival_tables takes them: model is the factor's label, group its level.

    A number is halved at the median of the training rows (stated in the level's name); a missing value leaves the
    patient out of that factor.
    """
    keep = ["patient_id", "cohort", "time", "event", *(["competing"] if "competing" in frame else [])]
    parts = []
    for term in terms:
        variable, values = variables[term], frame[term].astype(float)
        label = variable["label"] or term
        known = values.notna()
        if variable["kind"] == "numeric":
            cut = float(values[frame["cohort"] == "train"].median())
            unit = f" {variable['unit']}" if variable["unit"] else ""
            level = np.where(values > cut, f"above {cut:.4g}{unit}", f"up to {cut:.4g}{unit}")
        else:
            names = variable.get("levels", ["no", "yes"])
            level = np.array([str(names[int(code)]) if code == code else "" for code in values], dtype=object)
        parts.append(frame.loc[known, keep].assign(model=label, group=level[known.to_numpy()]))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["model", *keep, "group"])


def factor_tables(
    frame: pd.DataFrame, terms: list[str], variables: dict[str, Any], horizons: list[float]
) -> dict[str, pd.DataFrame]:
    """km, logrank and rates per factor and level of every cohort; the column `factor` holds the factor's label."""
    groups = factor_groups(frame, terms, variables)
    tables = survival_tables(groups, horizons) if len(groups) else empty_tables()
    return {
        name: table[table["model"] != "all"].rename(columns={"model": "factor"}).reset_index(drop=True)
        for name, table in tables.items()
    }


def empty_tables() -> dict[str, pd.DataFrame]:
    """The tables of a study without clinical factors."""
    keys = ["model", "cohort", "group"]
    km = [*keys, "time", "survival", "lower", "upper", "n_risk", "n_event", "n_censor", "curve"]
    rates = [*keys, "horizon_months", "survival", "lower", "upper", "n_risk", "n", "events"]
    columns = {"km": km, "logrank": ["model", "cohort", "chi2", "df", "p", "n", "events"], "rates": rates}
    return {name: pd.DataFrame(columns=names) for name, names in columns.items()}
