"""A chunk of the learning curve: the whole fit on growing parts of the training patients."""

import pandas as pd

from recur.cli import progress, reported, training_parser
from recur.cohort.training import read_training
from recur.resampling.learning import LEARNING_COLUMNS, learning_fits
from recur.tables import write_table


def main() -> None:
    parser = training_parser(__doc__, "settings", "seed")
    parser.add_argument("--chunk", type=int, required=True)
    parser.add_argument("--size", type=int, required=True, help="repeats of a chunk")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    train = read_training(args.cohort, args.features, args.repeats)
    total = args.settings["internal_validation"]["learning_repeats"]
    numbers = range(args.chunk * args.size, min((args.chunk + 1) * args.size, total))
    shown = progress(numbers, len(numbers), "learning curve")
    rows = [row for number in shown for row in learning_fits(train, args.settings, args.seed, number)]
    write_table(pd.DataFrame(rows, columns=LEARNING_COLUMNS), args.output)


if __name__ == "__main__":
    with reported():
        main()
