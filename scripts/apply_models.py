"""Apply the frozen models to training and held-out rows; nothing is fitted."""

import argparse
import json
from pathlib import Path

import pandas as pd

from recur.cli import reported
from recur.cohort.training import TRAIN, read_rows
from recur.predict.apply import apply_models
from recur.predict.signature import signature_scores
from recur.statistics.estimate import NotEstimable
from recur.tables import StudyError, labelled, manifest_of, one_manifest, read_frozen, write_table
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
    risks, scores, missing, rows = [], [], [], []
    for cohort, features in zip(args.cohorts, args.features, strict=True):
        frame, values, names = read_rows(cohort, features)
        rows.append(pd.concat([frame, pd.DataFrame(values, columns=names)], axis=1))
        if frame.empty:
            continue
        centre = frame["centre"].fillna("").to_numpy(object)
        try:
            risks.append(apply_models(models, signature, frame, values, names))
            score = signature_scores(signature, values, names, centre) if signature else None
        except NotEstimable as error:
            raise StudyError(f"{args.labels['analysis']}: the signature cannot be applied: {error}") from error
        scores.append(frame[["patient_id", "cohort"]].assign(score=float("nan") if score is None else score))
        missing.append(missing_data_performance(models, frame, score, args.imputations, args.seed))
    write_table(labelled(pd.concat(missing), args.labels), args.missing)
    if args.ranges:
        write_table(labelled(outside_training(*rows, predictors_used(models, signature)), args.labels), args.ranges)
    table = pd.concat(scores)
    known = pd.read_parquet(args.out_of_fold).set_index("patient_id")["second_stage"] if args.out_of_fold else {}
    table["score_out_of_fold"] = table["patient_id"].map(known).where(table["cohort"] == TRAIN).astype(float)
    write_table(labelled(table, args.labels), args.scores)
    names = ["signature", "clinical_pre", "combined_pre", "clinical_post", "combined_post"]
    order = {name: i for i, name in enumerate(names)}
    table = pd.concat(risks).sort_values("model", key=lambda c: c.map(order).fillna(len(order)), kind="stable")
    write_table(labelled(table, args.labels), args.risks)


if __name__ == "__main__":
    with reported():
        main()
