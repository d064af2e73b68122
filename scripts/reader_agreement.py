"""Agreement of the readers of each reading: kappa and the like, or ICC of numbers."""

import argparse

from recur.cli import reported
from recur.diagnostic.index_tests import by_cohort, reader_agreement
from recur.tables import read_json, read_made, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=read_json, required=True, help="settings/diagnostic.json")
    parser.add_argument("--units", required=True, help="cohort/clinical.csv, or cohort/lesions.csv")
    parser.add_argument("--assigned", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    cohorts = by_cohort(read_made(args.units), read_made(args.assigned), args.settings["split"])
    write_table(reader_agreement(cohorts, args.settings), args.output)


if __name__ == "__main__":
    with reported():
        main()
