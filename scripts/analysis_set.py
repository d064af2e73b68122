"""Write the training files and the held-out files of one analysis; no rule below sees both while it fits."""

import argparse
import json
from pathlib import Path

import pandas as pd

from recur.analysis_set import (
    followed_long_enough,
    make_analysis_set,
    select_features,
    split_sets,
    tumour_burden,
    without_regions,
)
from recur.cli import reported
from recur.tables import read_made, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--analysis", required=True)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--competing", action="store_true", help="the endpoint has a competing event")
    parser.add_argument("--subset", type=json.loads, required=True, help='JSON: {"phases": [...], "regions": [...]}')
    parser.add_argument("--tumour", type=json.loads, required=True, help="JSON: size, volume (variables), phases")
    parser.add_argument("--min-follow-up", type=float, help="months; replicates only")
    parser.add_argument("--assigned", required=True)
    parser.add_argument("--clinical", required=True)
    parser.add_argument("--endpoints", required=True)
    parser.add_argument("--features", nargs="*", default=[], help="first reader's table, then the others'")
    parser.add_argument("--train-cohort", required=True)
    parser.add_argument("--train-features", required=True)
    parser.add_argument("--train-repeats", required=True)
    parser.add_argument("--heldout-cohort", required=True)
    parser.add_argument("--heldout-features", required=True)
    parser.add_argument("--excluded", required=True, help="patients without a region that this analysis uses")
    args = parser.parse_args()
    assigned, clinical, endpoints = map(read_made, (args.assigned, args.clinical, args.endpoints))
    own = f"cohort_{args.analysis}"
    cohort = assigned.set_index("patient_id")[own if own in assigned.columns else "cohort"]
    excluded = pd.DataFrame(columns=["patient_id", "reason"])
    features, again, first = None, pd.DataFrame(columns=["patient_id", "reader"]), None
    if args.features:
        # a reading goes by its table's name: perturbed readings share their reader
        first, *others = (pd.read_parquet(path).assign(reader=Path(path).stem) for path in args.features)
        names = [name for name in first.columns if name not in ("patient_id", "reader")]
        names = select_features(names, args.subset.get("phases"), args.subset.get("regions"))
        features, excluded = without_regions(first[["patient_id", *names]])
        again = pd.concat([part[["patient_id", "reader", *names]] for part in others] or [first.iloc[:0]])
    if args.min_follow_up:
        endpoints, short = followed_long_enough(endpoints, args.endpoint, args.min_follow_up)
        excluded = pd.concat([excluded, short], ignore_index=True)
    burden = tumour_burden(first, clinical, args.tumour, args.tumour["phases"])
    clinical = clinical.merge(burden, on="patient_id", how="left")
    sets = split_sets(*make_analysis_set(cohort, clinical, endpoints, args.endpoint, features, args.competing))
    train_ids = sets["train"][0]["patient_id"]
    write_table(sets["train"][0], args.train_cohort)
    write_table(sets["train"][1], args.train_features)
    again = again[again["patient_id"].isin(train_ids)]
    write_table(again.sort_values(["patient_id", "reader"], ignore_index=True), args.train_repeats)
    write_table(excluded, args.excluded)
    write_table(sets["heldout"][0], args.heldout_cohort)
    write_table(sets["heldout"][1], args.heldout_features)


if __name__ == "__main__":
    with reported():
        main()
