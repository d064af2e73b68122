"""Write the training files and the held-out files of one analysis; no rule below sees both while it fits."""

import argparse
import json
from pathlib import Path

import pandas as pd

from recur.cli import reported
from recur.cohort.analysis_set import followed_long_enough, make_analysis_set, split_sets, tumour_burden, without_gaps
from recur.features.complete import complete_only, select_features, without_regions
from recur.tables import one_manifest, read_made, signed, write_table


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
    assigned, clinical, endpoints = map(read_made, (args.assigned, args.clinical, args.endpoints))
    own = f"cohort_{args.analysis}"
    cohort = assigned.set_index("patient_id")[own if own in assigned.columns else "cohort"]
    excluded = pd.DataFrame(columns=["patient_id", "reason"])
    features, again, first, sha256 = None, pd.DataFrame(columns=["patient_id", "reader"]), None, None
    if args.features:
        # a reading goes by its table's name: perturbed readings share their reader
        tables = {Path(path).stem: pd.read_parquet(path) for path in args.features}
        sha256 = one_manifest(tables)
        first, *others = (table.assign(reader=name) for name, table in tables.items())
        names = [name for name in first.columns if name not in ("patient_id", "reader")]
        names = select_features(names, args.subset.get("phases"), args.subset.get("regions"))
        split = complete_only if args.complete else without_regions
        features, excluded = split(first[["patient_id", *names]])
        again = pd.concat([part[["patient_id", "reader", *names]] for part in others] or [first.iloc[:0]])
    unknown = read_made(args.missing_endpoints)
    unknown = unknown.loc[unknown["endpoint"] == args.endpoint, ["patient_id", "reason"]]
    excluded = pd.concat([excluded, unknown], ignore_index=True)
    if args.min_follow_up:
        endpoints, short = followed_long_enough(endpoints, args.endpoint, args.min_follow_up)
        excluded = pd.concat([excluded, short], ignore_index=True)
    burden = tumour_burden(first, clinical, args.tumour, args.tumour["phases"])
    clinical = clinical.merge(burden, on="patient_id", how="left")
    if args.scores:
        scores = read_made(args.scores)
        columns = {name: f"score_{name}" for name in scores.columns if name != "patient_id"}
        clinical = clinical.merge(scores.rename(columns=columns), on="patient_id", how="left")
    sets = split_sets(*make_analysis_set(cohort, clinical, endpoints, args.endpoint, features, args.competing))
    sets, gaps, lacking = without_gaps(sets)
    if gaps:
        print(f"{len(gaps)} features left out, missing for a training patient: {', '.join(gaps[:5])} ...")
    train_ids = sets["train"][0]["patient_id"]
    write_table(sets["train"][0], args.train_cohort)
    write_table(signed(sets["train"][1], sha256), args.train_features)
    again = again[again["patient_id"].isin(train_ids)].drop(columns=gaps, errors="ignore")
    again = again[again.notna().all(axis=1)]  # a reading that lacks a feature is no reading of it
    again = again.sort_values(["patient_id", "reader"], ignore_index=True)
    write_table(signed(again, sha256), args.train_repeats)
    write_table(pd.concat([excluded, lacking], ignore_index=True), args.excluded)
    write_table(sets["heldout"][0], args.heldout_cohort)
    write_table(signed(sets["heldout"][1], sha256), args.heldout_features)


if __name__ == "__main__":
    with reported():
        main()
