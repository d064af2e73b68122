"""One table over all analyses of a study."""

import argparse

import pandas as pd

from recur.cli import reported
from recur.tables import write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="+", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    parts = [pd.read_csv(path, dtype=object, keep_default_na=False) for path in args.tables]
    write_table(pd.concat(parts), args.output)


if __name__ == "__main__":
    with reported():
        main()
