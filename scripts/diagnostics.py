"""Measure in training what the guards need: proportional hazards, linearity, cut-point, shadow features, centres."""

from pathlib import Path

import pandas as pd

from recur.cli import reported, training_parser
from recur.cohort.training import read_training
from recur.fit.model_checks import cutpoint_scan, diagnose, univariable_features
from recur.tables import labelled, read_frozen, write_table


def main() -> None:
    parser = training_parser(__doc__, "settings", "seed", "labels")
    parser.add_argument("--scores", help="training scores of the signature; absent for clinical models only")
    parser.add_argument("--models", type=Path, required=True, help="folder of the frozen models")
    parser.add_argument("--output", required=True)
    parser.add_argument("--cutpoint-scan", required=True, help="every cut that the search for a cut-point looked at")
    parser.add_argument("--univariable", required=True, help="Cox model of every feature alone")
    args = parser.parse_args()
    train = read_training(args.cohort, args.features, args.repeats)
    score = pd.read_parquet(args.scores)["second_stage"].to_numpy() if args.scores else None
    models = {path.stem: read_frozen(path) for path in sorted(args.models.glob("*.json"))}
    write_table(labelled(diagnose(train, score, models, args.settings, args.seed), args.labels), args.output)
    write_table(labelled(cutpoint_scan(train, score, models), args.labels), args.cutpoint_scan)
    write_table(labelled(univariable_features(train), args.labels), args.univariable)


if __name__ == "__main__":
    with reported():
        main()
