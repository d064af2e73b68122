"""Fit the Cox or logistic models before and after surgery and freeze them, cut-points included, as JSON."""

from pathlib import Path

import pandas as pd

from recur.cli import reported, training_parser
from recur.cohort.training import read_training
from recur.fit.coefficients import coefficient_table
from recur.fit.models import fit_models
from recur.fit.sample_size import candidate_parameters, sample_size_table
from recur.fit.support import with_support
from recur.predict.inputs import declared_inputs
from recur.predict.nomogram import nomogram_tables
from recur.statistics.estimate import NotEstimable
from recur.statistics.outcome import BINARY
from recur.study.parameters import smaller_class, too_few_events
from recur.tables import StudyError, labelled, write_frozen, write_table


def main() -> None:
    parser = training_parser(__doc__, "settings", "seed", "labels")
    parser.add_argument("--scores", help="training scores of the signature; absent for clinical models only")
    parser.add_argument("--models", required=True, help="folder of the frozen models")
    parser.add_argument("--coefficients", required=True)
    parser.add_argument("--nomogram", required=True)
    parser.add_argument("--sample-size", required=True)
    args = parser.parse_args()
    train = read_training(args.cohort, args.features, args.repeats)
    score = None
    if args.scores:
        scores = pd.read_parquet(args.scores)
        if list(scores["patient_id"]) != list(train.patient_id):
            raise StudyError(f"{args.scores}: does not list the patients of {args.cohort}")
        score = scores["second_stage"].to_numpy()
    events = int(train.outcome.event.sum())
    if train.outcome.kind == BINARY:
        events = smaller_class(train.outcome.event, train.outcome.known)
    problems = too_few_events(args.settings, args.labels["analysis"], events, score is not None)
    if problems:
        raise StudyError(problems)
    try:
        fitted = fit_models(train, score, args.settings, args.seed)
    except NotEstimable as error:
        raise StudyError(f"{args.labels['analysis']}: a model cannot be estimated: {error}") from error
    models = {name: with_support(model, train) for name, model in fitted.items()}
    for name, model in models.items():
        model["inputs"] = declared_inputs(model, args.settings)
        write_frozen(args.labels | model, Path(args.models) / f"{name}.json")
    write_table(
        labelled(coefficient_table(train, score, models, args.settings, args.seed), args.labels), args.coefficients
    )
    write_table(labelled(nomogram_tables(models), args.labels), args.nomogram)
    parameters = candidate_parameters(args.settings, len(train.names))
    horizon, prior = args.settings["horizons_months"][0], args.settings["sample_size"]["prior_r2_cs"]
    sizes = sample_size_table(train.outcome.time, train.outcome.event, parameters, horizon, prior, train.outcome.weight)
    write_table(labelled(sizes, args.labels), args.sample_size)


if __name__ == "__main__":
    with reported():
        main()
