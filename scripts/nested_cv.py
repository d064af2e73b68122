"""Repeated nested cross-validation: every training patient predicted by models fitted without them."""

import argparse

import pandas as pd

from recur.analysis_set import read_training
from recur.cli import progress, reported
from recur.resampling import NESTED_COLUMNS, nested_predictions
from recur.tables import read_json, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohort", required=True)
    parser.add_argument("--features", required=True)
    parser.add_argument("--repeats", required=True)
    parser.add_argument("--settings", type=read_json, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    train = read_training(args.cohort, args.features, args.repeats)
    options = args.settings["internal_validation"]
    parts = []
    repeats = options["nested_repeats"]
    for repeat in progress(range(repeats), repeats, "nested cross-validation"):
        parts.append(nested_predictions(train, args.settings, args.seed, repeat, options["nested_folds"]))
    write_table(pd.concat(parts) if parts else pd.DataFrame(columns=NESTED_COLUMNS), args.output)


if __name__ == "__main__":
    with reported():
        main()
