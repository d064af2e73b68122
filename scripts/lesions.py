"""Check the table of lesions: rows of known patients, readable cells."""

import argparse

from recur.cli import reported
from recur.diagnostic.index_tests import read_lesions
from recur.tables import read_json, read_made, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=read_json, required=True, help="settings/diagnostic.json")
    parser.add_argument("--clinical", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    write_table(read_lesions(args.settings, read_made(args.clinical)["patient_id"]), args.output)


if __name__ == "__main__":
    with reported():
        main()
