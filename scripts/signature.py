"""Rank the stable features and build the radiomics signature, from training rows only."""

from pathlib import Path

import pandas as pd

from recur.cli import reported, training_parser
from recur.cohort.training import read_training
from recur.fit.signature import build_signature, second_stage_scores, volume_correlations
from recur.predict.signature import signature_scores
from recur.statistics.estimate import NotEstimable
from recur.tables import StudyError, labelled, manifest_of, read_made, write_frozen, write_table


def main() -> None:
    parser = training_parser(__doc__, "settings", "seed", "labels")
    parser.add_argument("--icc", required=True)
    parser.add_argument("--signature", required=True)
    parser.add_argument("--trace", required=True, help="folder of the trace tables")
    parser.add_argument("--scores", required=True, help="training scores, in sample and as the second stage sees them")
    args = parser.parse_args()
    train = read_training(args.cohort, args.features, args.repeats)
    try:
        signature, trace = build_signature(train, read_made(args.icc), args.settings, args.seed)
        second = second_stage_scores(train, signature, args.settings, args.seed)
    except NotEstimable as error:
        raise StudyError(f"{args.labels['analysis']}: no signature can be built: {error}") from error
    columns = ["name", "weight", "mean", "sd", "transform", "centre", "scale", "power"]
    flat = [
        feature | {"transform": "none"} | {("transform" if k == "kind" else k): v for k, v in transform.items()}
        for feature in signature["features"]
        for transform in [feature.get("transform", {})]
    ]
    trace["weights"] = pd.DataFrame(flat, columns=columns).rename(columns={"name": "feature"})
    trace["weights"] = trace["weights"].join(volume_correlations(train, signature))
    for name, table in trace.items():
        write_table(labelled(table, args.labels), Path(args.trace) / f"{name}.csv")
    scores = pd.DataFrame(
        {
            "patient_id": train.patient_id,
            "score": signature_scores(signature, train.features, train.names, train.centre),
            "second_stage": second,
        }
    )
    write_table(scores, args.scores)  # Parquet: the second stage needs every digit
    # models are applied to features of the same manifest only
    write_frozen(args.labels | signature | {"features_manifest": manifest_of(args.features)}, args.signature)


if __name__ == "__main__":
    with reported():
        main()
