"""Apply the frozen ablations to every cohort and compare each with all features; nothing is fitted."""

import argparse
import json
from pathlib import Path

import pandas as pd

from recur.cli import reported
from recur.cohort.training import TRAIN, read_rows
from recur.predict.apply import apply_models
from recur.resampling.ablation import ALL, COLUMNS, ablation_rows, nested_rows
from recur.resampling.nested import nested_performance
from recur.tables import labelled, read_frozen, read_made, write_table
from recur.validation.common import apparent


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
    fits = {path.stem: read_frozen(path) for path in sorted(args.frozen.glob("*.json"))}
    fits = {ALL: fits.pop(ALL)} | fits
    failed = [
        {"ablation": name, "features": content["features"], "method": f"not estimated: {content['failed']}"}
        for name, content in fits.items()
        if "failed" in content
    ]
    fits = {name: content for name, content in fits.items() if "failed" not in content}
    sizes = {name: (content["features"], len(content["signature"]["features"])) for name, content in fits.items()}
    nested = read_made(args.nested)
    tables = {name: nested_performance(nested[nested["ablation"] == name], args.seed) for name in fits}
    parts = [
        nested_rows(tables, sizes, "auc" if "risk" in nested else "c_harrell"),
        pd.DataFrame(failed, columns=COLUMNS),
    ]
    for cohort, features in zip(args.cohorts, args.features, strict=True):
        frame, values, names = read_rows(cohort, features)
        applied = {
            name: apply_models(content["models"], content["signature"], frame, values, names)
            for name, content in fits.items()
            if len(frame)
        }
        for label, rows in frame.groupby("cohort", sort=False):
            scores = {
                name: {
                    model: part.set_index("patient_id")["lp"]
                    for model, part in table[table["cohort"] == label].groupby("model", sort=False)
                }
                for name, table in applied.items()
            }
            parts.append(ablation_rows(scores, rows, apparent(label), sizes, tested=label != TRAIN))
    write_table(labelled(pd.concat([part for part in parts if len(part)] or parts), args.labels), args.output)


if __name__ == "__main__":
    with reported():
        main()
