"""Redraw outcomes on cached features with several seeds, refit everything, and measure C in the external cohort."""

import argparse

import pandas as pd

from recur.cli import progress, reported
from recur.resampling.null import MadeUpCohort, redrawn_performance
from recur.tables import read_json, read_table, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--truth", required=True)
    parser.add_argument("--clinical", required=True)
    parser.add_argument("--features", nargs="+", required=True)
    parser.add_argument("--study", type=read_json, required=True, help="settings/cohort.json")
    parser.add_argument("--settings", type=read_json, required=True)
    parser.add_argument("--signal", choices=["full", "clinical_only", "none"], required=True)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    features = [pd.read_parquet(path) for path in args.features]
    made_up = MadeUpCohort(read_table(args.truth), read_table(args.clinical), features)
    parts = []
    for seed in progress(args.seeds, len(args.seeds), f"redrawn outcomes ({args.signal})"):
        parts.append(redrawn_performance(made_up, args.study, args.settings, args.signal, seed))
    write_table(pd.concat(parts), args.output)


if __name__ == "__main__":
    with reported():
        main()
