"""Rule acquisition: how every patient and phase was scanned, one table of the study."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from recur.cli import reported
from recur.tables import read_made, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=Path, nargs="+", required=True)
    parser.add_argument("--assigned", type=Path, required=True, help="cohort/assigned.csv")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    with reported():
        centres = read_made(args.assigned)[["patient_id", "centre"]]
        table = pd.concat([read_made(path).astype(object) for path in args.batches])
        table = table.merge(centres, on="patient_id", how="left").sort_values(["patient_id", "phase"])
        table.insert(1, "centre", table.pop("centre"))
        write_table(table, args.output)


if __name__ == "__main__":
    main()
