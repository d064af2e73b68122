"""Refit an analysis with a random split on other random splits; nothing of it is kept but the C-indices."""

import json

import numpy as np

from recur.cli import reported, training_parser
from recur.cohort.training import read_rows, read_training
from recur.resampling.splits import joined, split_distribution
from recur.tables import labelled, write_table


def main() -> None:
    parser = training_parser(__doc__, "settings", "seed", "labels")
    parser.add_argument("--heldout-cohort", required=True)
    parser.add_argument("--heldout-features", required=True)
    parser.add_argument("--split", type=json.loads, required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    train = read_training(args.cohort, args.features, args.repeats)
    frame, features, _ = read_rows(args.heldout_cohort, args.heldout_features)
    everyone = joined(train, frame, features)
    used = np.arange(len(everyone.patient_id)) < len(train.patient_id)
    count = args.settings["internal_validation"]["splits"]
    table = split_distribution(everyone, used, args.split, args.settings, args.seed, count)
    write_table(labelled(table, args.labels), args.output)


if __name__ == "__main__":
    with reported():
        main()
