"""One figure from its tables: a file of scripts/figures/ draws it, and this gives it what all of them share."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from recur import style
from recur.tables import StudyError, read_table
from recur.vocabulary import WORDS

FIGURES = Path(__file__).resolve().parents[2] / "figures"
NUMBERS = {
    "order", "n", "excluded", "icc", "lower", "upper", "mrmr_rank", "mrmr_score", "forest_rank",
    "forest_importance", "lambda", "coef", "deviance", "se", "n_nonzero", "weight", "mean", "sd",
    "frequency", "score", "score_out_of_fold", "hr", "or", "risk", "p", "events", "points", "horizon_months",
    "estimate", "time_months", "fpr", "tpr", "threshold", "predicted", "observed", "net_benefit", "time",
    "survival", "n_risk", "n_event", "n_censor", "chi2", "df", "event", "lp", "difference", "p_holm",
    "smd", "z", "left", "right", "height", "size", "value", "statistic", "cutpoint", "n_low", "p_corrected",
    "incidence", "p_heterogeneity", "p_trend", "c_harrell", "row", "column", "intensity", "tumour", "rim",
    "liver", "other_reader", "map", "row_mm", "column_mm", "low", "high", "slice", "slices",
    "sensitivity", "specificity", "x", "dice", "hd95_mm", "median", "lower_quartile", "upper_quartile",
}  # fmt: skip


def read_floats(path: str, words: tuple[str, ...] = ()) -> pd.DataFrame:
    """A table of floors 1 to 7 with its number columns as floats; all else stays text, and so do columns in `words`."""
    table = read_table(path)
    for column in table.columns.drop(list(words)):
        if column in NUMBERS or column.startswith("risk_"):
            try:
                table[column] = pd.to_numeric(table[column]).astype(float)
            except ValueError as error:
                raise StudyError(f"{path}: column {column!r} holds something that is no number: {error}") from error
    return table


def draw(figure: str, paths: dict[str, str], context: dict[str, Any]) -> tuple[Figure, str]:
    """The finished figure of a file of scripts/figures/, and its caption.

    paths: name -> table, of its INPUTS; context: endpoint, outcome, words and what else the options of
    scripts/figure.py say. Raises StudyError for a figure or a table that is not there.
    """
    known = sorted(path.stem for path in FIGURES.glob("*.py"))
    if figure not in known:
        raise StudyError(f"no figure {figure!r}; there are: {', '.join(known)}")
    module = importlib.import_module(f"figures.{figure}")
    if missing := sorted(set(module.INPUTS) - set(paths)):
        raise StudyError(f"figure {figure} also needs --input {' '.join(f'{m}=...' for m in missing)}")
    style.apply()
    context = context | {"words": WORDS[context["outcome"]] | context["said"]}
    text = getattr(module, "TEXT", {})
    fig = module.draw({name: read_floats(paths[name], text.get(name, ())) for name in module.INPUTS}, context)
    style.finish(fig, context)
    return fig, module.CAPTION.format(endpoint=context["endpoint"], **context["words"])
