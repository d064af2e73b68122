"""Draw one figure of an analysis from its tables: SVG, PDF and PNG (floor 8, rule `figure`)."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from recur import style
from recur.cli import reported
from recur.tables import StudyError, read_table
from recur.vocabulary import WORDS

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


def read(path: str, words: tuple[str, ...] = ()) -> pd.DataFrame:
    """A table of floors 1 to 7 with its number columns as floats; all else stays text, and so do columns in `words`."""
    table = read_table(path)
    for column in table.columns.drop(list(words)):
        if column in NUMBERS or column.startswith("risk_"):
            try:
                table[column] = pd.to_numeric(table[column]).astype(float)
            except ValueError as error:
                raise StudyError(f"{path}: column {column!r} holds something that is no number: {error}") from error
    return table


def draw(figure: str, paths: dict[str, str], context: dict[str, Any]):
    """The finished matplotlib figure `figure` (a file of scripts/figures) from the tables at `paths`."""
    known = sorted(p.stem for p in (Path(__file__).parent / "figures").glob("*.py"))
    if figure not in known:
        raise StudyError(f"no figure {figure!r}; there are: {', '.join(known)}")
    module = importlib.import_module(f"figures.{figure}")
    if missing := sorted(set(module.INPUTS) - set(paths)):
        raise StudyError(f"figure {figure} also needs --input {' '.join(f'{m}=...' for m in missing)}")
    style.apply()
    context = context | {"words": WORDS[context["outcome"]] | context["said"]}
    text = getattr(module, "TEXT", {})
    fig = module.draw({name: read(paths[name], text.get(name, ())) for name in module.INPUTS}, context)
    style.finish(fig, context)
    return fig, module.CAPTION.format(endpoint=context["endpoint"], **context["words"])


def write(arguments: list[str]) -> None:
    """Draw and save the figure that the arguments of this program ask for; raises StudyError."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", required=True, help="name of a file in scripts/figures, without .py")
    parser.add_argument("--input", nargs="+", default=[], metavar="NAME=TABLE", help="the tables of its INPUTS")
    parser.add_argument("--output-stem", required=True, help="path without suffix; .svg, .pdf and .png are written")
    parser.add_argument("--title-note", default="", help="small text above the figure, such as the analysis")
    parser.add_argument("--synthetic", action="store_true", help="generated data: say so on the figure")
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--outcome", choices=list(WORDS), default="survival")
    parser.add_argument("--main-model", help="of the analysis (recur.vocabulary.main_model)")
    parser.add_argument("--words", type=json.loads, required=True, help="recur.vocabulary.analysis_words, as JSON")
    parser.add_argument("--primary-horizon", type=float, required=True, help="months")
    args = parser.parse_args(arguments)
    context = {
        "endpoint": args.endpoint,
        "outcome": args.outcome,
        "said": args.words,
        "main": args.main_model,
        "primary_horizon": args.primary_horizon,
        "title_note": args.title_note,
        "synthetic": args.synthetic,
    }
    fig, caption = draw(args.figure, dict(item.partition("=")[::2] for item in args.input), context)
    title = f"{args.figure} ({style.SYNTHETIC})" if args.synthetic else args.figure
    style.save(fig, args.output_stem, title, caption)


def main() -> None:
    with reported():
        write(sys.argv[1:])


if __name__ == "__main__":
    main()
