"""Repeated nested cross-validation: every training patient predicted by models fitted without them."""

from typing import Any

import pandas as pd

from recur.cli import reported, training_parser
from recur.cohort.training import read_training
from recur.resampling.nested import nested_columns, nested_predictions
from recur.resume import fingerprint, forget, resumed
from recur.tables import write_table


def main() -> None:
    parser = training_parser(__doc__, "settings", "seed")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    train = read_training(args.cohort, args.features, args.repeats)
    options = args.settings["internal_validation"]
    key = fingerprint(__file__, [args.cohort, args.features, args.repeats], args.settings, args.seed)

    def work(repeat: int) -> list[dict[str, Any]]:
        part = nested_predictions(train, args.settings, args.seed, repeat, options["nested_folds"])
        return part.to_dict("records")

    repeats = range(options["nested_repeats"])
    parts = resumed(args.output, key, repeats, work, "repeats of the nested cross-validation")
    rows = [row for part in parts for row in part]
    write_table(pd.DataFrame(rows, columns=nested_columns(train, args.settings)), args.output)
    forget(args.output)


if __name__ == "__main__":
    with reported():
        main()
