"""The equation of a frozen Cox or logistic model as a table: what a reader needs to compute a risk by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from recur.cox import survival_at
from recur.scorer import input_label, levels_of

COLUMNS = ["model", "part", "name", "label", "unit", "transform", "value"]


def equation_table(models: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Every model's equation, one number a row (COLUMNS): linear predictor = constant + sum of term x value.

    part: `term` (value is the coefficient; label and unit are those of what is entered, transform is taken first),
    `level` (the code of a level of the term `name`), `constant`, `cutpoint` (above it the risk is high) and `survival`
    (name is the horizon in months; risk = 1 - value^exp(linear predictor)) or, of a logistic model, `intercept` (risk =
    1 / (1 + exp(-value - linear predictor))). Survival rows are absent beyond the
    training follow-up and with a competing event, whose risk needs both hazards.
    """
    rows: list[tuple] = []
    for name, model in models.items():
        declared = model["inputs"]["variables"]
        for column in model["terms"]:
            label = input_label(column["label"], column["transform"])
            rows.append((name, "term", column["name"], label, column["unit"], column["transform"], column["coef"]))
            levels = {0: "no", 1: "yes"} if column["kind"] == "categorical" else {}
            if column["kind"] in ("binary", "ordinal"):
                levels = dict(enumerate(levels_of(declared[column["term"]])))
                levels = {0: "no", 1: "yes"} if list(levels.values()) == ["0", "1"] else levels
            rows += [(name, "level", column["name"], text, "", "none", code) for code, text in levels.items()]
        constant = -sum(column["coef"] * column["mean"] for column in model["terms"])
        rows.append((name, "constant", "", "", "", "none", constant))
        if model["cutpoint"] is not None:
            rows.append((name, "cutpoint", "", "", "", "none", model["cutpoint"]["lp"]))
        if "intercept" in model:
            rows.append((name, "intercept", "", "", "", "none", model["intercept"]))
        for months in [] if "competing" in model else model["horizons_months"]:
            if months <= model["follow_up_months"]:
                survival = survival_at(model["baseline"]["time"], model["baseline"]["survival"], months)
                rows.append((name, "survival", f"{months:g}", "", "", "none", float(survival)))
    return pd.DataFrame(rows, columns=COLUMNS)
