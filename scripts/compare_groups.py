"""Groups of patients compared: tests, survival, and weighted by the propensity score."""

import argparse
from pathlib import Path

from recur.cli import reported
from recur.diagnostic.groups import compare_groups
from recur.diagnostic.index_tests import by_cohort
from recur.tables import read_json, read_made, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=read_json, required=True, help="settings/diagnostic.json")
    parser.add_argument("--units", required=True, help="cohort/clinical.csv")
    parser.add_argument("--assigned", required=True)
    parser.add_argument("--endpoints", required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder")
    args = parser.parse_args()
    cohorts = by_cohort(read_made(args.units), read_made(args.assigned), args.settings["split"])
    for name, table in compare_groups(cohorts, read_made(args.endpoints), args.settings).items():
        write_table(table, args.output / f"{name}.csv")


if __name__ == "__main__":
    with reported():
        main()
