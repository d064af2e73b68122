"""Fetch the series of one batch of patients from the public store, resumed and verified."""

from __future__ import annotations

import argparse
from pathlib import Path

from recur.batches import batch_of
from recur.cli import reported
from recur.download.store import fetch, read_series_list
from recur.tables import write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", required=True, help="what select_series chose")
    parser.add_argument("--folder", type=Path, required=True, help="where the images are kept")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--batches", type=int, required=True)
    parser.add_argument("--output", required=True, help="the series that are there, verified")
    args = parser.parse_args()
    with reported():
        series = read_series_list(args.series)
        here = series["patient_id"].map(lambda patient: batch_of(patient, args.batches) == args.batch).astype(bool)
        write_table(fetch(series[here], args.folder, f"download, batch {args.batch}"), args.output)


if __name__ == "__main__":
    main()
