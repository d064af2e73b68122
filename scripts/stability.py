"""Agreement between readers per feature: ICC(2,1) with confidence limits, on training patients."""

import argparse
import json

from recur.analysis_set import read_training
from recur.cli import reported
from recur.signature import stability
from recur.tables import labelled, read_json, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohort", required=True)
    parser.add_argument("--features", required=True)
    parser.add_argument("--repeats", required=True)
    parser.add_argument("--settings", type=read_json, required=True)
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--icc", required=True)
    args = parser.parse_args()
    train = read_training(args.cohort, args.features, args.repeats)
    write_table(labelled(stability(train, args.settings["stability"]), args.labels), args.icc)


if __name__ == "__main__":
    with reported():
        main()
