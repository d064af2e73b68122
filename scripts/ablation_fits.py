"""Refit everything on the features of one phase or one region only, from training rows, and cross-validate it."""

from pathlib import Path

import pandas as pd

from recur.cli import progress, reported, training_parser
from recur.cohort.training import read_training
from recur.fit.whole import fit
from recur.resampling.ablation import ALL, compared, restricted, subsets
from recur.resampling.nested import nested_columns, nested_predictions
from recur.statistics.estimate import NotEstimable
from recur.tables import StudyError, write_frozen, write_table


def main() -> None:
    parser = training_parser(__doc__, "settings", "seed")
    parser.add_argument("--frozen", type=Path, required=True, help="folder of the frozen fits")
    parser.add_argument("--nested", required=True)
    args = parser.parse_args()
    train, settings = read_training(args.cohort, args.features, args.repeats), compared(args.settings)
    args.frozen.mkdir(parents=True, exist_ok=True)
    chosen, parts = {ALL: train.names} | subsets(train.names), []
    folds = args.settings["internal_validation"]["nested_folds"]
    for name, names in progress(chosen.items(), len(chosen), "ablations"):
        part = restricted(train, names)
        try:
            frozen = fit(part, settings, args.seed)
        except NotEstimable as error:
            if name == ALL:
                raise StudyError(f"all features: {error}") from error
            write_frozen({"failed": str(error), "features": len(names)}, args.frozen / f"{name}.json")
            continue
        content = {"signature": frozen.signature, "models": frozen.models, "features": len(names)}
        write_frozen(content, args.frozen / f"{name}.json")
        if args.settings["internal_validation"]["nested_repeats"]:
            parts.append(nested_predictions(part, settings, args.seed, 0, folds).assign(ablation=name))
    columns = ["ablation", *nested_columns(train, args.settings)]
    write_table(pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns), args.nested)


if __name__ == "__main__":
    with reported():
        main()
