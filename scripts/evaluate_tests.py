"""Index tests against the reference standard: accuracy, ROC, comparisons, combination."""

import argparse
from pathlib import Path

from recur.cli import reported
from recur.diagnostic.index_tests import by_cohort, evaluate_tests
from recur.tables import read_json, read_made, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=read_json, required=True, help="settings/diagnostic.json")
    parser.add_argument("--units", required=True, help="cohort/clinical.csv, or cohort/lesions.csv")
    parser.add_argument("--assigned", required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder")
    args = parser.parse_args()
    cohorts = by_cohort(read_made(args.units), read_made(args.assigned), args.settings["split"])
    for name, table in evaluate_tests(cohorts, args.settings, args.settings["seed"]).items():
        write_table(table, args.output / f"{name}.csv")


if __name__ == "__main__":
    with reported():
        main()
