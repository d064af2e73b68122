"""Recalibrate the published scores on training rows and freeze them as JSON."""

from pathlib import Path

from recur.cli import reported, training_parser
from recur.cohort.training import read_training
from recur.fit.published_scores import fit_scores
from recur.tables import labelled, read_made, write_frozen, write_table


def main() -> None:
    parser = training_parser(__doc__, "settings", "seed", "labels")
    parser.add_argument("--notes", required=True, help="cohort/score_notes.csv")
    parser.add_argument("--models", type=Path, required=True, help="folder of the recalibrated scores")
    parser.add_argument("--fit", required=True)
    args = parser.parse_args()
    train = read_training(args.cohort, args.features, args.repeats)
    models, fit = fit_scores(train, read_made(args.notes), args.settings, args.seed)
    args.models.mkdir(parents=True, exist_ok=True)
    for name, model in models.items():
        write_frozen(args.labels | model, args.models / f"{name.replace(':', '.')}.json")
    write_table(labelled(fit, args.labels), args.fit)


if __name__ == "__main__":
    with reported():
        main()
