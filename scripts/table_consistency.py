"""Check the study's own tables by arithmetic; failing rows are shown in the report (rule `table_consistency`)."""

import argparse

from recur.cli import reported
from recur.consistency.own_tables import CHECKS, table_consistency
from recur.tables import read_made, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for kind in CHECKS:
        parser.add_argument(f"--{kind}", nargs="*", required=True)
    parser.add_argument("--output", required=True)
    args = vars(parser.parse_args())
    tables = {kind: [read_made(path) for path in args[kind]] for kind in CHECKS}
    write_table(table_consistency(tables), args["output"])


if __name__ == "__main__":
    with reported():
        main()
