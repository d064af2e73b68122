"""Rule cases: the cropped cases of a batch, their table and a picture per patient; bad ones are named, others go on."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from recur.cli import progress, reported
from recur.images.acquisition import acquisition_rows
from recur.images.batch import by_patient, case_table, read_patient, region_table, say_overlaps
from recur.images.pictures import draw_patient
from recur.tables import read_table, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inventory", type=Path, required=True)
    parser.add_argument("--regions", type=json.loads, required=True, help="settings of the regions, JSON")
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--batches", type=int, default=1)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--regions-table", type=Path, required=True, help="a row a case and region")
    parser.add_argument("--acquisition", type=Path, required=True, help="how each phase was scanned")
    parser.add_argument("--qc", type=Path, required=True, help="directory of the pictures")
    parser.add_argument("--synthetic", action="store_true", help="the patients are generated: say so in the pictures")
    args = parser.parse_args()
    with reported():
        patients = by_patient(read_table(args.inventory))
        args.qc.mkdir(parents=True, exist_ok=True)
        records: list[dict[str, Any]] = []
        what = f"regions and pictures, batch {args.batch + 1} of {args.batches}"
        for _, rows in progress(patients, len(patients), what, "patients"):
            readings = read_patient(rows, args.regions, args.cache)
            draw_patient(readings, args.regions, args.qc, args.synthetic)
            say_overlaps(readings)
            records += [record for reading in readings for record in reading.records]
        write_table(case_table(records, args.regions), args.output)
        write_table(region_table(records), args.regions_table)
        write_table(acquisition_rows(records), args.acquisition)


if __name__ == "__main__":
    main()
