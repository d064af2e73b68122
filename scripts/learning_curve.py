"""Join the repeats of the learning curve into one row a model and training size."""

import argparse
import json

import pandas as pd

from recur.cli import reported
from recur.resampling.learning import learning_curve
from recur.tables import labelled, read_made, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", nargs="+", required=True)
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    runs = pd.concat([read_made(path) for path in args.runs])
    write_table(labelled(learning_curve(runs), args.labels), args.output)


if __name__ == "__main__":
    with reported():
        main()
