"""Draw one figure of an analysis from its tables: SVG, PDF and PNG (floor 8, rule `figure`)."""

from __future__ import annotations

import argparse
import json
import sys

from recur import style
from recur.cli import reported
from recur.report.drawing import draw
from recur.vocabulary import WORDS


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
