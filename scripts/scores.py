"""Compute the published scores of every patient from the clinical table; no outcome is read."""

import argparse

import pandas as pd

from recur.cli import reported
from recur.cohort.published_scores import score_table
from recur.tables import read_json, read_made, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=read_json, required=True, help="settings/comparators.json")
    parser.add_argument("--clinical", required=True)
    parser.add_argument(
        "--cases", nargs="*", default=[], help="case tables: tumour volumes of the first phase and reader"
    )
    parser.add_argument("--phase")
    parser.add_argument("--reader")
    parser.add_argument("--scores", required=True)
    parser.add_argument("--notes", required=True)
    args = parser.parse_args()
    volume = None
    if args.cases:
        cases = pd.concat([read_made(path) for path in args.cases])
        cases = cases[(cases["phase"] == args.phase) & (cases["reader"] == args.reader) & (cases["status"] == "ok")]
        volume = cases.groupby("patient_id")["tumour_ml"].sum()
    scores, notes = score_table(args.study, read_made(args.clinical), volume)
    write_table(scores, args.scores)
    write_table(notes, args.notes)


if __name__ == "__main__":
    with reported():
        main()
