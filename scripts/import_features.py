"""Read a ready feature table (a study that starts at floor 3), one row a patient, and say what is doubtful in it."""

import argparse
import json

from recur.cli import reported
from recur.features.cells import few
from recur.features.complete import complete_enough
from recur.features.doubts import doubts
from recur.features.imported import read_features
from recur.tables import StudyError, read_made, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", required=True)
    parser.add_argument("--repeat", help="the same features from a second reading")
    parser.add_argument("--settings", type=json.loads, required=True, help="JSON: `features` of the study")
    parser.add_argument("--reserved", type=json.loads, required=True, help="JSON: columns that cannot be features")
    parser.add_argument("--subsets", type=json.loads, required=True, help="JSON: phases and regions of each analysis")
    parser.add_argument("--clinical", required=True, help="whose centre is which")
    parser.add_argument("--output", required=True)
    parser.add_argument("--repeat-output", required=True)
    parser.add_argument("--exclusions", required=True)
    parser.add_argument("--doubts", required=True)
    args = parser.parse_args()
    found = read_features(args.settings, args.table, args.reserved)
    features, exclusions = complete_enough(found, args.subsets or [{}])
    again = features.iloc[:0]
    if args.repeat:
        again = read_features(args.settings, args.repeat, args.reserved).features
        absent = [name for name in features if name not in again]
        if absent:
            raise StudyError(
                f"{args.repeat}: no numeric column {few(absent)}, which {args.table} has (features.repeat)"
            )
        again = again[list(features.columns)]
    centres = read_made(args.clinical).set_index("patient_id")["centre"]
    write_table(features.assign(reader="reader1"), args.output)
    write_table(again.assign(reader="reader2"), args.repeat_output)
    write_table(exclusions, args.exclusions)
    write_table(doubts(found, centres), args.doubts)


if __name__ == "__main__":
    with reported():
        main()
