"""Check the clinical table, derive the endpoints and fix the split, before any image is read."""

import argparse
import sys

from recur.cli import reported
from recur.cohort.clinical import read_cohort
from recur.cohort.split import assign_all
from recur.cohort.surveillance import visit_intervals
from recur.tables import read_json, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=read_json, required=True, help="settings/cohort.json")
    parser.add_argument("--assigned", required=True)
    parser.add_argument("--clinical", required=True)
    parser.add_argument("--endpoints", required=True)
    parser.add_argument("--exclusions", required=True)
    parser.add_argument("--missing-endpoints", required=True)
    parser.add_argument("--surveillance", required=True)
    args = parser.parse_args()
    cohort = read_cohort(args.study)
    for text in cohort.warnings:
        print(f"WARNING: {text}", file=sys.stderr)
    assigned = assign_all(args.study, cohort.clinical, cohort.cells, cohort.excluded)
    for name in assigned.columns[2:]:
        outside = int((assigned[name] == "").sum())
        if outside:
            print(f"WARNING: {outside} patients are in no part of the split {name}", file=sys.stderr)
    write_table(assigned, args.assigned)
    write_table(cohort.clinical, args.clinical)
    write_table(cohort.endpoints, args.endpoints)
    write_table(cohort.exclusions, args.exclusions)
    write_table(cohort.missing_endpoints, args.missing_endpoints)
    write_table(visit_intervals(args.study, cohort.cells, cohort.clinical["patient_id"]), args.surveillance)


if __name__ == "__main__":
    with reported():
        main()
