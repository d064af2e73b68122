"""Merge the exclusions of all floors; list the patients, their cohorts and endpoints, and the patient flow."""

import argparse

import pandas as pd

from recur.cli import reported
from recur.cohort.flow import explain_absence, flow_table, merge_exclusions
from recur.images.duplicates import shared_images
from recur.tables import StudyError, read_made, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assigned", required=True)
    parser.add_argument("--endpoints", required=True)
    parser.add_argument("--exclusions", nargs="+", required=True, help="tables of patient_id, floor, reason")
    parser.add_argument("--cases", nargs="+", default=[], help="case tables of the images floor")
    parser.add_argument("--features", help="first reader's feature table; patients outside it are not analysed")
    parser.add_argument("--patients", required=True)
    parser.add_argument("--merged", required=True)
    parser.add_argument("--flow", required=True)
    args = parser.parse_args()
    assigned = read_made(args.assigned)
    endpoints = read_made(args.endpoints)
    cases = [read_made(path) for path in args.cases]
    problems = shared_images(pd.concat(cases)) if cases else []
    if problems:
        raise StudyError(problems)
    exclusions = merge_exclusions(map(read_made, args.exclusions), cases)
    known = exclusions["floor"].eq("cohort") | exclusions["patient_id"].isin(assigned["patient_id"])
    exclusions = exclusions[known]  # a feature table may hold patients of no interest here
    patients = assigned.merge(endpoints, on="patient_id").drop(columns="centre")
    if args.features:
        present = set(pd.read_parquet(args.features, columns=["patient_id"])["patient_id"])
        # a reason may concern a second reading only: whoever has features is in
        exclusions = explain_absence(exclusions[~exclusions["patient_id"].isin(present)], patients, present)
        patients = patients[patients["patient_id"].isin(present)]
    total = len(assigned) + int((exclusions["floor"] == "cohort").sum())
    write_table(patients, args.patients)
    write_table(exclusions, args.merged)
    write_table(flow_table(total, exclusions, patients), args.flow)


if __name__ == "__main__":
    with reported():
        main()
