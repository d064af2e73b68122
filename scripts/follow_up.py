"""Follow-up by reverse Kaplan-Meier, and censoring compared between cohorts and centres."""

import argparse
import json

import pandas as pd

from recur.cli import reported
from recur.cohort.follow_up import follow_up_table
from recur.tables import labelled, read_made, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", nargs=2, required=True, help="training and held-out rows")
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    frame = pd.concat(map(read_made, args.cohorts), ignore_index=True)
    write_table(labelled(follow_up_table(frame), args.labels), args.output)


if __name__ == "__main__":
    with reported():
        main()
