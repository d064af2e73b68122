"""A chunk of bootstrap resamples: the whole fit repeated on each; a killed chunk goes on where it was."""

import pandas as pd

from recur.cli import reported, training_parser
from recur.cohort.training import read_training
from recur.resampling.bootstrap import bootstrap_fit, resample_settings
from recur.resume import fingerprint, forget, resumed
from recur.tables import write_table


def main() -> None:
    parser = training_parser(__doc__, "settings", "seed")
    parser.add_argument("--chunk", type=int, required=True)
    parser.add_argument("--size", type=int, required=True, help="resamples of a chunk")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    train = read_training(args.cohort, args.features, args.repeats)
    settings = resample_settings(train, args.settings)
    total = args.settings["internal_validation"]["resamples"]
    numbers = range(args.chunk * args.size, min((args.chunk + 1) * args.size, total))
    key = fingerprint(__file__, [args.cohort, args.features, args.repeats], settings, args.seed)
    what = f"resamples {numbers.start + 1} to {numbers.stop} of {total}"
    parts = resumed(args.output, key, numbers, lambda number: bootstrap_fit(train, settings, args.seed, number), what)
    write_table(pd.DataFrame([row for part in parts for row in part]), args.output)
    forget(args.output)


if __name__ == "__main__":
    with reported():
        main()
