"""Hazard or odds ratios of the multivariable models."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from recur import style, vocabulary
from recur.vocabulary import p_text, ratio_text

INPUTS = {"coefficients": "models/{analysis}/coefficients.csv"}
CAPTION = (
    "Ratios of the {ratio} ({endpoint}) with 95 % confidence intervals of the terms of the multivariable {model} "
    "models."
)
CATEGORY = "Models"
NEEDS = None


def ratio_label(term: Any) -> str:
    """The ratio with its interval; of separated groups, whose numbers may have hundreds of digits, `>1000`."""
    values = {"hr": term.estimate, "lower": term.lower, "upper": term.upper}
    if max(values.values()) >= 1000:
        return ratio_text(values)
    return vocabulary.interval_in_figure(*values.values())


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["coefficients"]
    table = table[table["stage"] == "multivariable"]
    if table.empty:
        return style.message("no multivariable model has a term")
    rows, ratio = [], "or" if "or" in table else "hr"
    for model in style.models_of(table):
        terms = table[table["model"] == model]
        size = terms.iloc[0]
        rows.append(
            {"label": f"{style.model_label(model, context)} (n = {size['n']:.0f}, {size['events']:.0f} events)"}
        )
        for term in terms.rename(columns={ratio: "estimate"}).itertuples():
            rows.append(
                {
                    "label": term.label if isinstance(term.label, str) else term.term,
                    "estimate": term.estimate,
                    "lower": term.lower,
                    "upper": term.upper,
                    "texts": (ratio_label(term), p_text(term.p)),
                }
            )
    return style.forest(
        rows,
        f"{context['words']['ratio'].capitalize()} ratio (log scale)",
        1.0,
        (f"{ratio.upper()} (95 % CI)", "p"),
        log=True,
        width_mm=style.TWO_COLUMNS,
        right_mm=(32, 14),
    )
