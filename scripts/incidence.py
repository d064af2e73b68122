"""Cumulative incidence of recurrence and of death without it, by risk group and cohort."""

import argparse
import json

from recur.cli import reported
from recur.tables import labelled, read_made, write_table
from recur.validation.incidence import incidence_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--risks", required=True)
    parser.add_argument("--endpoints", required=True)
    parser.add_argument("--endpoint", required=True, help="one that tells the competing event from censoring")
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    table = incidence_table(read_made(args.risks), read_made(args.endpoints), args.endpoint)
    write_table(labelled(table, args.labels | {"endpoint": args.endpoint}), args.output)


if __name__ == "__main__":
    with reported():
        main()
