"""Fit the models of an ordinal or categorical endpoint on training rows and freeze them as JSON."""

from pathlib import Path

import numpy as np

from recur.cli import reported, training_parser
from recur.cohort.training import read_training
from recur.fit.categories import category_models, coefficient_rows
from recur.resampling.categories import cross_validated
from recur.study.parameters import too_few_events
from recur.tables import StudyError, labelled, write_frozen, write_table


def main() -> None:
    parser = training_parser(__doc__, "settings", "seed", "labels")
    parser.add_argument("--models", type=Path, required=True, help="folder of the frozen models")
    parser.add_argument("--coefficients", required=True)
    parser.add_argument("--cross-validated", required=True, help="predictions of patients left out")
    args = parser.parse_args()
    train = read_training(args.cohort, args.features, args.repeats)
    smallest = int(np.unique(train.outcome.event, return_counts=True)[1].min())
    problems = too_few_events(args.settings, args.labels["analysis"], smallest, False)
    if problems:
        raise StudyError(problems)
    models = category_models(train, args.settings, args.seed)
    if not models:
        raise StudyError(
            f"{args.labels['analysis']}: no candidate terms; an ordinal or categorical endpoint needs some"
        )
    for name, model in models.items():
        write_frozen(args.labels | model, args.models / f"{name}.json")
    write_table(labelled(coefficient_rows(models), args.labels), args.coefficients)
    write_table(labelled(cross_validated(train, args.settings, args.seed), args.labels), args.cross_validated)


if __name__ == "__main__":
    with reported():
        main()
