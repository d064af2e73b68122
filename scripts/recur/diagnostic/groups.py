"""Groups of patients compared: tests of each variable, survival, and a comparison weighted by the propensity score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.statistics.group_tests import (
    balance,
    contingency,
    effective_size,
    iptw,
    numbers,
    propensity,
    weighted_difference,
    weighted_hazard_ratio,
)
from recur.statistics.survival import kaplan_meier, logrank
from recur.study.coding import levels_of

GROUPS = ["cohort", "variable", "group", "n", "summary", "test", "statistic", "df", "p", "reason"]
WEIGHTED = ["cohort", "outcome", "measure", "estimate", "se", "lower", "upper", "p", "n", "effective_n", "reason"]
CURVES = ["cohort", "endpoint", "group", "time", "n_risk", "n_event", "n_censor", "survival", "lower", "upper"]
BALANCE = ["cohort", "covariate", "smd", "smd_weighted"]


def compare_groups(
    cohorts: dict[str, pd.DataFrame], endpoints: pd.DataFrame, settings: dict[str, Any]
) -> dict[str, pd.DataFrame]:
    """Groups of patients in each cohort: groups (tests), curves (Kaplan-Meier), weighted and balance (propensity)."""
    plan, variables = settings["diagnostic"]["groups"], settings["clinical"]["variables"]
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in ("groups", "curves", "weighted", "balance")}
    levels = levels_of(variables[plan["by"]])
    for cohort, frame in cohorts.items():
        frame = frame.dropna(subset=[plan["by"]]).merge(endpoints, on="patient_id", how="left")
        group = frame[plan["by"]].astype(int)
        rows = [row for name in plan["variables"] for row in group_rows(frame, group, name, variables[name], levels)]
        for name in plan["endpoints"]:
            known = frame[[f"{name}_time", f"{name}_event"]].notna().all(axis=1)
            time = frame.loc[known, f"{name}_time"]
            event = frame.loc[known, f"{name}_event"] == 1
            test = logrank(time, event, group[known])
            for code in sorted(set(group[known])):
                mine = group[known] == code
                curve = kaplan_meier(time[mine], event[mine])
                parts["curves"].append(curve.assign(cohort=cohort, endpoint=name, group=levels[code]))
                row = {"variable": name, "group": levels[code], "n": int(mine.sum()), "test": "log-rank"}
                row |= {"summary": f"{int(event[mine].sum())} events", "statistic": test["chi2"]}
                rows.append(row | {key: test[key] for key in ("df", "p", "reason")})
        parts["groups"].append(pd.DataFrame(rows).assign(cohort=cohort))
        if plan["adjust"]:
            weighted, balanced = adjusted(frame, group, plan, variables)
            parts["weighted"].append(weighted.assign(cohort=cohort))
            parts["balance"].append(balanced.assign(cohort=cohort))
    columns = {"groups": GROUPS, "curves": CURVES, "weighted": WEIGHTED, "balance": BALANCE}
    return {
        name: pd.concat([pd.DataFrame(columns=columns[name]), *frames])[columns[name]] for name, frames in parts.items()
    }


def group_rows(
    frame: pd.DataFrame, group: pd.Series, name: str, variable: dict[str, Any], levels: list[str]
) -> list[dict]:
    """One variable between the groups: a row a group with its summary, and the test."""
    known = frame[name].notna()
    values = frame.loc[known, name]
    member = group[known]
    codes = sorted(set(group))
    if variable["kind"] == "numeric":
        test = numbers(values, member)
        low, middle, high = (values.groupby(member).quantile(q) for q in (0.25, 0.5, 0.75))
        texts = {c: f"{middle[c]:.4g} [{low[c]:.4g}, {high[c]:.4g}]" for c in codes if c in middle}
    else:
        own = levels_of(variable)
        table = np.array([[int(((member == c) & (values == k)).sum()) for k in range(len(own))] for c in codes])
        found = contingency(table)
        exact = found["small"] and not np.isnan(found["p_fisher"])
        test = {"test": "Fisher", "statistic": np.nan, "df": np.nan, "p": found["p_fisher"], "reason": ""}
        if not exact:
            note = found["reason"] or ("expected counts below 5" if found["small"] else "")
            test = {
                "test": "chi-square",
                "statistic": found["chi2"],
                "df": found["df"],
                "p": found["p"],
                "reason": note,
            }
        texts = {
            c: "; ".join(f"{level}: {count}" for level, count in zip(own, counts, strict=True))
            for c, counts in zip(codes, table, strict=True)
        }
    test = {key: test[key] for key in ("test", "statistic", "df", "p", "reason")}
    return [
        {"variable": name, "group": levels[c], "n": int((member == c).sum()), "summary": texts.get(c, "")} | test
        for c in codes
    ]


def adjusted(
    frame: pd.DataFrame, group: pd.Series, plan: dict[str, Any], variables: dict[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Weighted comparison of the second group with the first: risk or mean differences, hazard ratios; and balance.

    Patients with a missing covariate are left out; what cannot be estimated says why.
    """
    covariates = dummies(frame, plan["adjust"], variables)
    known = covariates.notna().all(axis=1)
    covariates = covariates[known]
    treated = (group[known] == 1).to_numpy()
    frame = frame[known]
    empty_balance = pd.DataFrame(columns=BALANCE[1:])
    try:
        weight = iptw(treated, propensity(treated, covariates))
    except ValueError as error:
        return pd.DataFrame([{"outcome": "", "measure": "", "reason": str(error)}], columns=WEIGHTED), empty_balance
    rows = []
    for name in plan["variables"]:
        if name in plan["adjust"] or variables[name]["kind"] not in ("numeric", "binary"):
            continue
        given = frame[name].notna().to_numpy()
        difference = weighted_difference(frame.loc[given, name], treated[given], weight[given])
        row = {"outcome": name, "estimate": difference["difference"], "n": int(given.sum()), "reason": ""}
        row["measure"] = "risk difference" if variables[name]["kind"] == "binary" else "mean difference"
        row |= {key: difference[key] for key in ("se", "lower", "upper", "p")}
        rows.append(row | {"effective_n": effective_size(weight[given])})
    for name in plan["endpoints"]:
        given = frame[[f"{name}_time", f"{name}_event"]].notna().all(axis=1).to_numpy()
        part = frame[given]
        difference = weighted_hazard_ratio(
            part[f"{name}_time"], part[f"{name}_event"] == 1, treated[given], weight[given]
        )
        row = {"outcome": name, "measure": "hazard ratio", "estimate": difference["hr"], "n": int(given.sum())}
        row |= {key: difference[key] for key in ("se", "lower", "upper", "p", "reason")}
        rows.append(row | {"effective_n": effective_size(weight[given])})
    return pd.DataFrame(rows, columns=[name for name in WEIGHTED if name != "cohort"]), balance(
        treated, covariates, weight
    )


def dummies(frame: pd.DataFrame, names: list[str], variables: dict[str, Any]) -> pd.DataFrame:
    """Covariates as columns: numbers and binaries as they are, ordinals by their place, categories as indicators."""
    columns = {}
    for name in names:
        if variables[name]["kind"] != "categorical":
            columns[name] = frame[name].astype(float)
            continue
        for code, level in enumerate(variables[name]["levels"][1:], 1):
            columns[f"{name}: {level}"] = (frame[name] == code).astype(float).where(frame[name].notna())
    return pd.DataFrame(columns, index=frame.index)
