"""Check printed numbers by arithmetic: those of a published abstract, or of any table (YAML or CSV)."""

import argparse
import sys

from recur.cli import reported
from recur.consistency.statements import check_statements, read_statements
from recur.tables import write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog="Keys and kinds: schemas/reported.schema.yaml")
    parser.add_argument("--input", required=True, help="statements: YAML, a study file with `reported`, or CSV")
    parser.add_argument("--output", required=True, help="CSV: a row a check, with its verdict")
    args = parser.parse_args()
    found = check_statements(read_statements(args.input))
    write_table(found, args.output)
    counts = found["verdict"].value_counts()
    print(", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())), file=sys.stderr)


if __name__ == "__main__":
    with reported():
        main()
