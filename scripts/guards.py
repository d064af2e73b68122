"""Check every guard of methods section 8 for one analysis: which fired, which are clear, which cannot happen."""

import argparse
import json
from pathlib import Path

import pandas as pd

from recur.cli import reported
from recur.tables import labelled, read_frozen, read_json, read_made, write_table
from recur.validation.evaluations import read_evaluations
from recur.validation.guards import evaluate

TABLES = (
    "performance", "risks", "rates", "net_benefit", "coefficients", "diagnostics", "univariable", "frequencies",
    "weights", "acquisition", "splits", "ranges", "doubts",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=read_json, required=True, help="settings/guards.json")
    parser.add_argument("--analysis", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--heldout", required=True)
    parser.add_argument("--models", type=Path, required=True, help="folder of the frozen models")
    parser.add_argument("--signature")
    parser.add_argument("--evaluations", type=Path, required=True)
    parser.add_argument("--tables", nargs="+", required=True, help="name=path")
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    paths = dict(pair.split("=", 1) for pair in args.tables)
    facts = {name: read_made(paths[name]) if name in paths else pd.DataFrame() for name in TABLES}
    facts |= {
        "study": args.study,
        "analysis": args.analysis,
        "models": {path.stem: read_frozen(path) for path in sorted(args.models.glob("*.json"))},
        "signature": read_frozen(args.signature) if args.signature else None,
        "evaluations": read_evaluations(args.evaluations),
        "train": read_made(args.train),
        "heldout": read_made(args.heldout),
    }
    write_table(labelled(evaluate(facts), args.labels), args.output)


if __name__ == "__main__":
    with reported():
        main()
