"""The equation of a frozen Cox or logistic model as a table: what a reader needs to compute a risk by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from recur.predict.design import cube_weights
from recur.predict.support import last_month
from recur.statistics.cox import survival_at
from recur.study.coding import input_label, levels_of

COLUMNS = ["model", "part", "name", "label", "unit", "transform", "value"]


def equation_table(models: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Every model's equation, one number a row (COLUMNS): linear predictor = constant + sum of term x value.

    part: `term` (value is the coefficient; label and unit are those of what is entered, transform is taken first),
    `level` (the code of a level of the term `name`), `constant`, `cutpoint` (above it the risk is high) and `survival`
    (name is the horizon in months, label the stratum, if any; risk = 1 - value^exp(linear predictor)) or, of a logistic
    model, `intercept` (risk = 1 / (1 + exp(-value - linear predictor))). Survival rows are absent where training
    supports no risk and with a competing event, whose risk needs both hazards. A cubic part of a spline `name` is the
    sum of `cube` x max(x - `knot`, 0)^3 over its knots (label counts them), x being the number that is entered; a
    product has the transform `product`, and its `factor` rows the two columns. `stratum` is added in that stratum.
    """
    rows: list[tuple] = []
    for name, model in models.items():
        declared = model["inputs"]["variables"]
        for column in model["terms"]:
            label = input_label(column["label"], column["transform"])
            transform = "product" if "parts" in column else column["transform"]
            rows.append((name, "term", column["name"], label, column["unit"], transform, column["coef"]))
            rows += [(name, *row) for row in parts_of(column)]
            if column["kind"] == "categorical":
                levels = {0: "no", 1: "yes"}
            else:
                levels = {}  # none of a product
            if column["kind"] in ("binary", "ordinal"):
                levels = dict(enumerate(levels_of(declared[column["term"]])))
                if list(levels.values()) == ["0", "1"]:
                    levels = {0: "no", 1: "yes"}
            rows += [(name, "level", column["name"], text, "", "none", code) for code, text in levels.items()]
        constant = -sum(column["coef"] * column["mean"] for column in model["terms"])
        rows.append((name, "constant", "", "", "", "none", constant))
        if model["cutpoint"] is not None:
            rows.append((name, "cutpoint", "", "", "", "none", model["cutpoint"]["lp"]))
        if "intercept" in model:
            rows.append((name, "intercept", "", "", "", "none", model["intercept"]))
        for level in model.get("strata", {}).get("levels", []):
            rows.append((name, "stratum", level["stratum"], "", "", "none", level["offset"]))
        if "intercept" not in model and "competing" not in model:
            rows += [(name, *row) for row in survival_rows(model)]
    return pd.DataFrame(rows, columns=COLUMNS)


def parts_of(column: Mapping[str, Any]) -> list[tuple]:
    """What a cubic part of a spline, or a product, is made of."""
    name = column["name"]
    rows = []
    for factor in column.get("parts", []):
        rows.append(("factor", name, factor["name"], "", "none", 1.0))
    if column.get("part"):
        for place, (knot, weight) in enumerate(zip(column["knots"], cube_weights(column), strict=True), 1):
            rows += [("knot", name, str(place), "", "none", knot), ("cube", name, str(place), "", "none", weight)]
    return rows


def survival_rows(model: Mapping[str, Any]) -> list[tuple]:
    """The baseline survival at every horizon at which training, or the stratum, supports a risk."""
    rows = []
    end = last_month(model)
    if "strata" in model:
        levels = model["strata"]["levels"]
    else:
        levels = [model["baseline"] | {"supported_months": end}]
    for months in model["horizons_months"]:
        for level in levels:
            if months <= min(end, last_month(level)):
                survival = float(survival_at(level["time"], level["survival"], months))
                rows.append(("survival", f"{months:g}", level.get("stratum", ""), "", "none", survival))
    return rows
