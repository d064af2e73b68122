"""Clusters of training patients and features, and what is known of the patients: the tables of the heatmap."""

import argparse

from recur.cli import SHARED, reported
from recur.cohort.training import read_rows
from recur.tables import labelled, read_made, write_table
from recur.validation.heatmap import annotation, heatmap, shown_features
from recur.vocabulary import TRAIN, main_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("cohort", "features", "path", "weights", "risks", "values", "clusters", "patients"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("settings", "seed", "labels"):
        parser.add_argument(f"--{name}", required=True, **SHARED[name])
    args = parser.parse_args()
    frame, features, names = read_rows(args.cohort, args.features)
    shown = shown_features(read_made(args.path), read_made(args.weights))
    columns = [names.index(name) for name in shown]
    values, clusters = heatmap(frame["patient_id"].tolist(), features[:, columns], shown, args.seed)
    risks = read_made(args.risks)
    groups = risks[(risks["model"] == main_model(risks["model"])) & (risks["cohort"] == TRAIN)][["patient_id", "group"]]
    candidates, variables = args.settings["candidates"], args.settings["variables"]
    terms = [name for name in candidates["pre"] + candidates["post"] if name in frame]
    patients = annotation(frame[frame["patient_id"].isin(values["patient_id"])], groups, terms, variables)
    for table, path in ((values, args.values), (clusters, args.clusters), (patients, args.patients)):
        write_table(labelled(table, args.labels), path)


if __name__ == "__main__":
    with reported():
        main()
