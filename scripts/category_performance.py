"""Apply the frozen models of an ordinal or categorical endpoint to every cohort, judge them, and test its levels."""

import argparse
import json
from pathlib import Path

import pandas as pd

from recur.cli import reported
from recur.cohort.training import read_rows
from recur.predict.categories import risk_rows
from recur.tables import labelled, read_frozen, read_json, read_made, write_table
from recur.validation.categories import category_performance, level_tests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder of the frozen models")
    parser.add_argument("--cross-validated", required=True, help="predictions of patients left out")
    parser.add_argument("--cohorts", nargs=2, required=True, help="training and held-out rows")
    parser.add_argument("--features", nargs=2, required=True, help="their features")
    parser.add_argument("--settings", type=read_json, required=True, help="settings of the analysis")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--risks", required=True)
    parser.add_argument("--performance", required=True)
    parser.add_argument("--tests", required=True)
    args = parser.parse_args()
    models = {path.stem: read_frozen(path) for path in sorted(args.models.glob("*.json"))}
    levels = [str(level) for level in args.settings["levels"]]
    parts, frames, values = [], [], []
    for cohort, features in zip(args.cohorts, args.features, strict=True):
        frame, x, names = read_rows(cohort, features)
        frames.append(frame)
        values.append(pd.DataFrame(x, columns=names))
        for name, model in models.items():
            if len(frame) and "failed" not in model:
                table = risk_rows(name, model, frame, frame["level"].to_numpy(), frame["patient_id"].to_numpy())
                parts.append(table.assign(cohort=frame["cohort"].to_numpy()))
    risks = pd.concat([*parts, read_made(args.cross_validated).drop(columns=list(args.labels))], ignore_index=True)
    write_table(labelled(risks, args.labels), args.risks)
    performance = category_performance(risks, levels, args.settings["ordered"], args.seed)
    write_table(labelled(performance, args.labels), args.performance)
    whole = pd.concat(frames, ignore_index=True), pd.concat(values, ignore_index=True)
    tests = level_tests(whole[0], args.settings["variables"], whole[1], args.settings["ordered"])
    write_table(labelled(tests, args.labels), args.tests)


if __name__ == "__main__":
    with reported():
        main()
