"""The analyses of one endpoint side by side, on the patients that neither was trained on."""

import argparse

from recur.cli import reported
from recur.tables import read_made, write_table
from recur.validation.contrast import contrast
from recur.vocabulary import EXTERNAL


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--risks", nargs="+", required=True, help="risks of every analysis")
    parser.add_argument("--assigned", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    tables = [read_made(path) for path in args.risks]
    assigned = read_made(args.assigned)
    external = set(assigned.loc[assigned["cohort"].fillna("").str.startswith(EXTERNAL), "patient_id"])
    risks = {table["analysis"].iloc[0]: table for table in tables}
    write_table(contrast(risks, external), args.output)


if __name__ == "__main__":
    with reported():
        main()
