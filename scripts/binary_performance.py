"""Performance of the frozen logistic models in every cohort: discrimination, calibration, net benefit, classes."""

import argparse
import json
from pathlib import Path

from recur.cli import reported
from recur.tables import labelled, read_made, write_table
from recur.validation import binary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--risks", required=True)
    parser.add_argument("--nested", required=True, help="nested predictions: their curves stand beside the others")
    parser.add_argument("--thresholds", type=float, nargs=2, required=True, help="lowest and highest probability")
    parser.add_argument("--seed", type=int, required=True, help="of the bootstrap under weights")
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--validation", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()
    risks, nested = read_made(args.risks), read_made(args.nested)
    tables = {
        "heldout_and_apparent": binary.performance(risks, args.seed),
        "roc": binary.roc_curves(risks, nested),
        "calibration": binary.calibration_tables(risks, nested),
        "net_benefit": binary.net_benefit_table(risks, nested, args.thresholds),
        "comparisons": binary.comparisons(risks),
    }
    for name, table in tables.items():
        write_table(labelled(table, args.labels), args.validation / f"{name}.csv")


if __name__ == "__main__":
    with reported():
        main()
