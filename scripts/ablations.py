"""Apply the frozen ablations to every cohort and compare each with all features; nothing is fitted."""

import argparse
import json
from pathlib import Path

from recur.cli import reported
from recur.cohort.training import read_rows
from recur.resampling.ablation_table import ablation_table
from recur.tables import labelled, read_frozen, read_made, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frozen", type=Path, required=True)
    parser.add_argument("--nested", required=True)
    parser.add_argument("--cohorts", nargs=2, required=True, help="training and held-out rows")
    parser.add_argument("--features", nargs=2, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    frozen = {path.stem: read_frozen(path) for path in sorted(args.frozen.glob("*.json"))}
    sides = [read_rows(*files) for files in zip(args.cohorts, args.features, strict=True)]
    table = ablation_table(frozen, read_made(args.nested), sides, args.seed)
    write_table(labelled(table, args.labels), args.output)


if __name__ == "__main__":
    with reported():
        main()
