"""Read a ready feature table (a study that starts at floor 3), one row a patient."""

import argparse

import pandas as pd

from recur.analysis_set import import_feature_table
from recur.cli import reported
from recur.tables import write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", required=True)
    parser.add_argument("--repeat", help="the same features from a second reading")
    parser.add_argument("--id", required=True, help="column of the patient id")
    parser.add_argument("--pattern", required=True, help="regular expression of the feature columns")
    parser.add_argument("--output", required=True)
    parser.add_argument("--repeat-output", required=True)
    parser.add_argument("--exclusions", required=True)
    args = parser.parse_args()
    features, exclusions = import_feature_table(args.table, args.id, args.pattern)
    again = features.iloc[:0]
    if args.repeat:
        again = import_feature_table(args.repeat, args.id, args.pattern)[0][list(features.columns)]
    write_table(features.assign(reader="reader1"), args.output)
    write_table(pd.DataFrame(again).assign(reader="reader2"), args.repeat_output)
    write_table(exclusions, args.exclusions)


if __name__ == "__main__":
    with reported():
        main()
