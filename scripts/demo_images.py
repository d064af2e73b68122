"""Write the images and masks of one batch of the synthetic demo cohort, and a list of the files written."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import pandas as pd

from recur.batches import batch_of
from recur.cli import progress, reported
from recur.demo.images import write_patient
from recur.tables import read_table, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="image manifest of demo_tables")
    parser.add_argument("--truth", required=True, help="planted truth of demo_tables")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--batches", type=int, required=True)
    parser.add_argument("--output-dir", required=True, type=Path, help="folder the manifest's paths are relative to")
    parser.add_argument("--done", required=True, help="CSV of the files written: patient_id, file, bytes, sha256")
    args = parser.parse_args()
    with reported():
        images, truth = read_table(args.images), read_table(args.truth).fillna({"defect": ""})
        in_batch = truth["patient_id"].map(lambda patient_id: batch_of(patient_id, args.batches) == args.batch)
        with_images = truth["patient_id"].isin(images["patient_id"])
        patients = truth[in_batch & with_images].reset_index(drop=True)
        files = []
        what = f"demo images, batch {args.batch}"
        for _, patient in progress(patients.iterrows(), len(patients), what):
            rows = images[images["patient_id"] == patient["patient_id"]]
            for path in write_patient(rows, patient, args.seed, args.output_dir):
                content = path.read_bytes()
                name = path.relative_to(args.output_dir).as_posix()
                files.append((patient["patient_id"], name, len(content), hashlib.sha256(content).hexdigest()))
        write_table(pd.DataFrame(files, columns=["patient_id", "file", "bytes", "sha256"]), args.done)


if __name__ == "__main__":
    main()
