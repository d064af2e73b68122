"""Judge the frozen models in every cohort: performance, curves, calibration, net benefit, survival by risk group."""

import argparse
import json
from pathlib import Path

from recur.cli import reported
from recur.resampling.internal_calibration import nested_calibration
from recur.statistics.outcome import SURVIVAL, outcome_of
from recur.tables import labelled, read_frozen, read_made, write_table
from recur.validation.survival import survival_tables, time_curves
from recur.validation.tables import calibration_tables, comparisons, net_benefit_table, performance, roc_curves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--risks", required=True)
    parser.add_argument("--nested", required=True, help="predictions of the nested cross-validation")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--models", type=Path, required=True, help="folder of the frozen models")
    parser.add_argument("--horizons", type=float, nargs="+", required=True, help="months")
    parser.add_argument("--thresholds", type=float, nargs=2, required=True, help="lowest and highest probability")
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--validation", type=Path, required=True, help="folder to write to")
    parser.add_argument("--survival", type=Path, required=True, help="folder to write to; nothing of a binary outcome")
    args = parser.parse_args()
    risks, nested = read_made(args.risks), read_made(args.nested)
    models = {path.stem: read_frozen(path) for path in sorted(args.models.glob("*.json"))}
    in_time = outcome_of(risks).kind == SURVIVAL
    nested_tables = nested_calibration(nested) if in_time else []
    tables = {
        args.validation / "heldout_and_apparent.csv": performance(risks, models, args.seed),
        args.validation / "roc.csv": roc_curves(risks, models, nested),
        args.validation / "calibration.csv": calibration_tables(risks, models, nested, nested_tables),
        args.validation / "net_benefit.csv": net_benefit_table(risks, models, nested, args.thresholds),
        args.validation / "comparisons.csv": comparisons(risks, nested, args.seed),
    }
    if in_time:
        tables[args.validation / "time_curves.csv"] = time_curves(risks, models)
        for name, table in survival_tables(risks, args.horizons).items():
            tables[args.survival / f"{name}.csv"] = table
    for path, table in tables.items():
        write_table(labelled(table, args.labels), path)


if __name__ == "__main__":
    with reported():
        main()
