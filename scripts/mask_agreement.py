"""Overlap and surface distances of the readers' tumour masks, from the cached cases."""

import argparse
from pathlib import Path

import pandas as pd

from recur.cli import reported
from recur.images.mask_agreement import mask_summary, readers_masks
from recur.tables import read_made, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", required=True, help="images/batch-*.csv")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--output", required=True, help="a row a patient, phase and pair of readers")
    parser.add_argument("--summary", required=True)
    args = parser.parse_args()
    cases = pd.concat([read_made(path) for path in args.cases], ignore_index=True)
    masks = readers_masks(cases, args.cache)
    write_table(masks, args.output)
    write_table(mask_summary(masks), args.summary)


if __name__ == "__main__":
    with reported():
        main()
