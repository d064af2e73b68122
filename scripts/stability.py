"""Agreement between readers per feature: ICC(2,1) with confidence limits, on training patients."""

from recur.cli import reported, training_parser
from recur.cohort.training import read_training
from recur.fit.stability import stability
from recur.tables import labelled, write_table


def main() -> None:
    parser = training_parser(__doc__, "settings", "labels")
    parser.add_argument("--icc", required=True)
    args = parser.parse_args()
    train = read_training(args.cohort, args.features, args.repeats)
    write_table(labelled(stability(train, args.settings["stability"]), args.labels), args.icc)


if __name__ == "__main__":
    with reported():
        main()
