"""Kaplan-Meier curves, log-rank tests and rates by the levels of each candidate factor, in every cohort."""

import argparse
import json
from pathlib import Path

import pandas as pd

from recur.cli import reported
from recur.tables import labelled, read_json, read_made, write_table
from recur.validation.factors import factor_tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", nargs=2, required=True, help="training and held-out rows")
    parser.add_argument("--settings", type=read_json, required=True)
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()
    frame = pd.concat(map(read_made, args.cohorts), ignore_index=True)
    candidates, variables = args.settings["candidates"], args.settings["variables"]
    terms = candidates["pre"] + candidates["post"]
    for name, table in factor_tables(frame, terms, variables, args.settings["horizons_months"]).items():
        write_table(labelled(table, args.labels), args.output / f"factor_{name}.csv")


if __name__ == "__main__":
    with reported():
        main()
