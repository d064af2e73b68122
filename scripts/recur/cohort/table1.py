"""Table 1: the patients of an analysis by cohort, with tests and standardised differences (package tableone)."""

from __future__ import annotations

import re
import warnings
from itertools import permutations
from typing import Any

import pandas as pd
from tableone import TableOne

from recur.study.coding import input_label, levels_of

OBSERVED = "Time to event or censoring (months)"


def make_table1(frame: pd.DataFrame, variables: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(table, balance) of the patients.

    table: variable, level, overall, one a cohort, missing, p, smd; medians with quartiles, counts with per cent. p:
    Kruskal-Wallis or chi-square (Fisher where counts are small); smd: the largest between two cohorts. balance:
    variable, cohort_a, cohort_b, smd (absolute) of every two cohorts.
    """
    shown = frame[["cohort"]].copy()
    categorical = []
    continuous = []
    order = {"Event": ["no", "yes"]}
    decimals = {OBSERVED: 1}
    for name, variable in variables.items():
        label = input_label(variable["label"] or name, variable["transform"])
        unit = f" ({variable['unit']})" if variable["unit"] and variable["unit"] not in label else ""
        values = frame[name]
        if values.notna().sum() == 0 or variable["kind"] == "list":
            continue
        if variable["kind"] == "numeric":
            shown[label + unit] = values.astype(float)
            continuous.append(label + unit)
            spread = values.astype(float).quantile([0.25, 0.75])
            decimals[label + unit] = 2 if spread.iloc[1] - spread.iloc[0] < 1 else 1
            continue
        levels = levels_of(variable)
        levels = ["no", "yes"] if levels == ["0", "1"] and variable["kind"] == "binary" else levels
        values = values.map(lambda code, levels=levels: None if pd.isna(code) else levels[int(code)])
        shown[label] = values
        order[label] = levels
        categorical.append(label)
    shown["Event"] = frame["event"].map({0: "no", 1: "yes"})
    times = [OBSERVED] if "time" in frame else []
    if times:
        shown[OBSERVED] = frame["time"]
    cohorts = list(dict.fromkeys(sorted(frame["cohort"], key=lambda name: (name != "train", name))))
    compare = len(cohorts) > 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = TableOne(
            shown,
            columns=[*continuous, *times, *categorical, "Event"],
            categorical=[*categorical, "Event"],
            continuous=[*continuous, *times],
            nonnormal=[*continuous, *times],
            groupby="cohort" if compare else None,
            pval=compare,
            smd=compare,
            missing=True,
            htest_name=False,
            order=order,
            decimals=decimals,
        ).tableone
    return flat(table, cohorts, compare), balance(table, cohorts)


def flat(table: pd.DataFrame, cohorts: list[str], compare: bool) -> pd.DataFrame:
    """tableone's two-level table as plain columns."""
    table = table.copy()
    table.columns = [name[-1] if isinstance(name, tuple) else name for name in table.columns]
    rows = table.reset_index()
    rows.columns = ["variable", "level", *table.columns]
    smd = [name for name in table.columns if str(name).startswith("SMD")]
    result = rows[["variable", "level"]].copy()
    result["overall"] = rows["Overall"]
    for cohort in cohorts:
        result[cohort] = rows[cohort] if compare else rows["Overall"]
    result["missing"] = pd.to_numeric(rows["Missing"], errors="coerce")
    result["p"] = rows["P-Value"] if compare else ""
    numbers = rows[smd].apply(pd.to_numeric, errors="coerce").abs().max(axis=1) if smd else None
    result["smd"] = numbers if numbers is not None else float("nan")
    result["level"] = result["level"].replace("None", "missing")
    result["variable"] = result["variable"].map(without_summary)
    return result


def without_summary(variable: str) -> str:
    """tableone's name of a variable without how it is summarised."""
    return re.sub(r", (median|n|mean) .*$", "", variable)


def balance(table: pd.DataFrame, cohorts: list[str]) -> pd.DataFrame:
    """The standardised differences of tableone's table, a row a variable and pair of cohorts, where defined."""
    labels = {name[-1] if isinstance(name, tuple) else name: name for name in table.columns}
    rows = []
    for a, b in permutations(cohorts, 2):
        if f"SMD ({a},{b})" in labels:
            values = pd.to_numeric(table[labels[f"SMD ({a},{b})"]], errors="coerce").abs()
            rows += [(without_summary(key[0]), a, b, value) for key, value in values.items() if pd.notna(value)]
    return pd.DataFrame(rows, columns=["variable", "cohort_a", "cohort_b", "smd"])
