"""Choose the series of a public collection that the study needs, and show what fetching them means; fetches nothing."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from recur.cli import reported
from recur.download.collection import select_series
from recur.download.store import download_plan
from recur.tables import read_table, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collection", required=True, help="collection_id of the Imaging Data Commons")
    parser.add_argument("--assigned", required=True, help="cohort/assigned.csv: the patients of the study")
    parser.add_argument("--modality", choices=["CT", "MR"], required=True)
    parser.add_argument("--max-patients", type=int)
    parser.add_argument("--folder", type=Path, required=True, help="where the images will be kept")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    with reported():
        patients = read_table(args.assigned)["patient_id"]
        series = select_series(args.collection, patients, args.modality, args.max_patients)
        print("\n".join(download_plan(args.collection, series, args.folder)), file=sys.stderr)
        write_table(series, args.output)


if __name__ == "__main__":
    main()
