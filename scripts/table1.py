"""Table 1 of one analysis, its patients by cohort; and their flow."""

import argparse
import json

import pandas as pd

from recur.cli import reported
from recur.cohort.flow import analysis_flow
from recur.cohort.table1 import make_table1
from recur.tables import labelled, read_json, read_made, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", required=True)
    parser.add_argument("--heldout", required=True)
    parser.add_argument("--clinical", type=read_json, required=True, help="settings/clinical.json")
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--output", required=True)
    parser.add_argument("--balance", required=True, help="standardised differences between every two cohorts")
    parser.add_argument("--study-flow", required=True)
    parser.add_argument("--exclusions", required=True, help="of the study: patient_id, floor, reason")
    parser.add_argument("--excluded", required=True, help="those of this analysis: patient_id, reason")
    parser.add_argument("--flow", required=True)
    args = parser.parse_args()
    frame = pd.concat([read_made(path) for path in (args.train, args.heldout)], ignore_index=True)
    table, balance = make_table1(frame, args.clinical["clinical"]["variables"])
    write_table(labelled(table, args.labels), args.output)
    write_table(labelled(balance, args.labels), args.balance)
    flow = analysis_flow(*map(read_made, (args.study_flow, args.exclusions, args.excluded)), frame)
    write_table(labelled(flow, args.labels), args.flow)


if __name__ == "__main__":
    with reported():
        main()
