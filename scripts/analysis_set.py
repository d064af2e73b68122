"""Write the training files and the held-out files of one analysis; no rule below sees both while it fits."""

import argparse
import json

import pandas as pd

from recur.cli import reported
from recur.cohort.analysis_set import (
    cohort_of,
    followed_long_enough,
    make_analysis_set,
    split_sets,
    tumour_burden,
    with_scores,
    without_gaps,
    without_outcome,
)
from recur.cohort.readings import read_readings, repeats_of
from recur.tables import read_made, signed, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--analysis", required=True)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--competing", action="store_true", help="the endpoint has a competing event")
    parser.add_argument("--subset", type=json.loads, required=True, help='JSON: {"phases": [...], "regions": [...]}')
    parser.add_argument("--tumour", type=json.loads, required=True, help="JSON: size, volume (variables), phases")
    parser.add_argument("--min-follow-up", type=float, help="months; replicates only")
    parser.add_argument("--complete", action="store_true", help="whoever lacks a feature goes out, none is left out")
    parser.add_argument("--assigned", required=True)
    parser.add_argument("--clinical", required=True)
    parser.add_argument("--endpoints", required=True)
    parser.add_argument("--missing-endpoints", required=True, help="patient_id, endpoint, reason")
    parser.add_argument("--scores", help="published scores of every patient; they go along as score_<id>")
    parser.add_argument("--features", nargs="*", default=[], help="first reader's table, then the others'")
    parser.add_argument("--train-cohort", required=True)
    parser.add_argument("--train-features", required=True)
    parser.add_argument("--train-repeats", required=True)
    parser.add_argument("--heldout-cohort", required=True)
    parser.add_argument("--heldout-features", required=True)
    parser.add_argument("--excluded", required=True, help="patients without a region that this analysis uses")
    args = parser.parse_args()
    readings = read_readings(args.features, args.subset, args.complete)
    endpoints = read_made(args.endpoints)
    excluded = [readings.excluded, without_outcome(read_made(args.missing_endpoints), args.endpoint)]
    if args.min_follow_up:
        endpoints, short = followed_long_enough(endpoints, args.endpoint, args.min_follow_up)
        excluded.append(short)
    clinical = read_made(args.clinical)
    burden = tumour_burden(readings.table, clinical, args.tumour, args.tumour["phases"])
    clinical = clinical.merge(burden, on="patient_id", how="left")
    if args.scores:
        clinical = with_scores(clinical, read_made(args.scores))
    cohort = cohort_of(read_made(args.assigned), args.analysis)
    rows = make_analysis_set(cohort, clinical, endpoints, args.endpoint, readings.features, args.competing)
    sets, gaps, lacking = without_gaps(split_sets(*rows))
    if gaps:
        print(f"{len(gaps)} features left out, missing for a training patient: {', '.join(gaps[:5])} ...")
    repeats = repeats_of(readings.repeats, sets["train"][0]["patient_id"], gaps)
    write_table(pd.concat([*excluded, lacking], ignore_index=True), args.excluded)
    write_table(sets["train"][0], args.train_cohort)
    write_table(signed(sets["train"][1], readings.sha256), args.train_features)
    write_table(signed(repeats, readings.sha256), args.train_repeats)
    write_table(sets["heldout"][0], args.heldout_cohort)
    write_table(signed(sets["heldout"][1], readings.sha256), args.heldout_features)


if __name__ == "__main__":
    with reported():
        main()
