"""Gather the runs on redrawn outcomes: the null table, the other variants, and their means."""

import argparse

import pandas as pd

from recur.cli import reported
from recur.resampling.null import summary
from recur.tables import read_made, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="+", required=True)
    parser.add_argument("--null", required=True, help="outcomes unrelated to anything: seed, cohort, model, c_harrell")
    parser.add_argument("--variants", required=True, help="the same with a column `signal`, all variants")
    parser.add_argument("--summary", required=True)
    args = parser.parse_args()
    runs = pd.concat([read_made(path) for path in args.tables], ignore_index=True)
    write_table(runs.loc[runs["signal"] == "none"].drop(columns="signal"), args.null)
    write_table(runs, args.variants)
    write_table(summary(runs), args.summary)


if __name__ == "__main__":
    with reported():
        main()
