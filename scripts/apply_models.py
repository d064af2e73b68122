"""Apply the frozen models to training and held-out rows; nothing is fitted."""

import argparse
import json
from pathlib import Path

import pandas as pd

from recur.cli import reported
from recur.cohort.training import read_rows
from recur.statistics.estimate import NotEstimable
from recur.tables import StudyError, labelled, manifest_of, one_manifest, read_frozen, write_table
from recur.validation.applied import joined, risk_table, score_table, scores_of
from recur.validation.evaluations import log_evaluation
from recur.validation.missing_data import missing_data_performance
from recur.validation.ranges import outside_training, predictors_used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder of the frozen models")
    parser.add_argument("--signature")
    parser.add_argument("--out-of-fold", help="training scores whose second stage is out of fold")
    parser.add_argument("--cohorts", nargs=2, required=True, help="training and held-out rows")
    parser.add_argument("--features", nargs=2, required=True, help="their features")
    parser.add_argument("--imputations", type=int, required=True, help="draws for the sensitivity to missing cells")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--risks", required=True)
    parser.add_argument("--scores", required=True)
    parser.add_argument("--missing", required=True, help="performance over imputations and on complete cases")
    parser.add_argument("--ranges", help="held-out patients beyond the training values")
    parser.add_argument("--log", type=Path, required=True, help="what the held-out patients were shown, appended to")
    args = parser.parse_args()
    log_evaluation(args.log, args.models, Path(args.signature) if args.signature else None, Path(args.cohorts[1]))
    models = {path.stem: read_frozen(path) for path in sorted(args.models.glob("*.json"))}
    signature = read_frozen(args.signature) if args.signature else None
    if signature:
        tables = {path: manifest_of(path) for path in args.features}
        one_manifest({"the signature": signature["features_manifest"], **tables})
    sides = [read_rows(*files) for files in zip(args.cohorts, args.features, strict=True)]
    filled = [rows for rows in sides if len(rows[0])]
    try:
        risks = risk_table(models, signature, filled)
        scores = [scores_of(signature, rows) for rows in filled]
    except NotEstimable as error:
        raise StudyError(f"{args.labels['analysis']}: the signature cannot be applied: {error}") from error
    missing = [
        missing_data_performance(models, frame, score, args.imputations, args.seed)
        for (frame, _, _), score in zip(filled, scores, strict=True)
    ]
    write_table(labelled(pd.concat(missing), args.labels), args.missing)
    if args.ranges:
        ranges = outside_training(*map(joined, sides), predictors_used(models, signature))
        write_table(labelled(ranges, args.labels), args.ranges)
    training_scores = pd.read_parquet(args.out_of_fold) if args.out_of_fold else None
    write_table(labelled(score_table(filled, scores, training_scores), args.labels), args.scores)
    write_table(labelled(risks, args.labels), args.risks)


if __name__ == "__main__":
    with reported():
        main()
