"""Check the study file and its tables and show the plan; nothing is run."""

import argparse

from recur.check.check import check_tables
from recur.check.plan import plan
from recur.cli import reported
from recur.study.file import resolve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True, help="study file")
    args = parser.parse_args()
    study = resolve(args.study)
    print("\n".join(plan(study, check_tables(study))))


if __name__ == "__main__":
    with reported():
        main()
