"""Judge the published scores beside the study's models, on the same patients."""

import argparse
import json
from pathlib import Path

import pandas as pd

from recur.cli import reported
from recur.predict.published_scores import apply_scores
from recur.tables import labelled, read_frozen, read_made, write_table
from recur.validation import published_scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", nargs=2, required=True, help="training and held-out rows")
    parser.add_argument("--risks", required=True, help="risks of the study's models")
    parser.add_argument("--own", type=Path, required=True, help="folder of the study's frozen models")
    parser.add_argument("--nested", required=True, help="predictions of the nested cross-validation")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--models", type=Path, required=True, help="folder of the recalibrated scores")
    parser.add_argument("--thresholds", type=float, nargs=2, required=True, help="lowest and highest probability")
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()
    models = {model["model"]: model for model in map(read_frozen, sorted(args.models.glob("*.json")))}
    own_models = {path.stem: read_frozen(path) for path in sorted(args.own.glob("*.json"))}
    timing = {name: model["timing"] for name, model in own_models.items()}
    frame = pd.concat(map(read_made, args.cohorts), ignore_index=True)
    own = read_made(args.risks)
    risks, same = published_scores.same_patients(apply_scores(models, frame), own)
    curves, net_benefit = published_scores.score_curves(risks, models, same, own_models, args.thresholds)
    tables = {
        "scores": published_scores.score_performance(risks, models, args.seed),
        "score_curves": curves,
        "score_net_benefit": net_benefit,
        "score_comparisons": published_scores.score_comparisons(
            own, risks, models, timing, read_made(args.nested), args.seed
        ),
    }
    for name, table in tables.items():
        write_table(labelled(table, args.labels), args.output / f"{name}.csv")


if __name__ == "__main__":
    with reported():
        main()
