"""Recalibrate the published scores on training rows and freeze them as JSON."""

import argparse
import json
from pathlib import Path

from recur.analysis_set import read_training
from recur.cli import reported
from recur.score_models import fit_scores
from recur.tables import labelled, read_json, read_made, write_frozen, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohort", required=True)
    parser.add_argument("--features", required=True)
    parser.add_argument("--repeats", required=True)
    parser.add_argument("--notes", required=True, help="cohort/score_notes.csv")
    parser.add_argument("--settings", type=read_json, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--models", type=Path, required=True, help="folder of the recalibrated scores")
    parser.add_argument("--fit", required=True)
    args = parser.parse_args()
    train = read_training(args.cohort, args.features, args.repeats)
    models, fit = fit_scores(train, read_made(args.notes), args.settings, args.seed)
    args.models.mkdir(parents=True, exist_ok=True)
    for name, model in models.items():
        write_frozen(args.labels | model, args.models / f"{name.replace(':', '.')}.json")
    write_table(labelled(fit, args.labels), args.fit)


if __name__ == "__main__":
    with reported():
        main()
