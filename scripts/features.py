"""Rule features: the pyradiomics features of a batch of cases; bad ones are named in the exclusions, others go on."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

# One thread a job, set before numpy is loaded: jobs share the machine, and sums keep one order.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import pandas as pd

from recur.cli import reported
from recur.features.compiled import compile_kernels
from recur.tables import read_table, signed, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--settings", type=json.loads, required=True, help="JSON: see recur.features.table.manifest")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--exclusions", type=Path, required=True)
    parser.add_argument("--missing", type=Path, required=True, help="table of the values that are NaN, with reasons")
    parser.add_argument("--aggregate", default="volume_weighted_mean", help="how a patient's lesions become one row")
    args = parser.parse_args()
    with reported():
        compile_kernels(args.cache / "numba")
        from recur.features.batch import extract_cases
        from recur.features.table import manifest, patient_rows

        sha256 = manifest(args.settings)["manifest_sha256"]
        cases = read_table(args.cases)
        what = f"features, {args.cases.stem}"
        found, excluded, reasons = extract_cases(cases, args.cache, args.settings["extraction"], what, args.aggregate)
        table, missing = patient_rows(found, reasons, args.settings)
        write_table(signed(table, sha256), args.output)
        write_table(missing, args.missing)
        write_table(pd.DataFrame(excluded, columns=["patient_id", "floor", "reason"]), args.exclusions)


if __name__ == "__main__":
    main()
