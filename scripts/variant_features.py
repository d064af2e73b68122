"""Rule variant_features: features of perturbed readings (p1, p2, ...) or of a negative control, of a batch."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

# One thread a job, set before numpy is loaded: jobs share the machine, and sums keep one order.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import pandas as pd

from recur.cli import reported
from recur.cohort.split import training_patients
from recur.features.compiled import compile_kernels
from recur.tables import read_made, read_table, signed, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--assigned", type=Path, required=True, help="cohort/assigned.csv")
    parser.add_argument("--variant", required=True, help="p1, p2, ... or a negative control")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--settings", type=json.loads, required=True, help="JSON: see recur.features.table.manifest")
    parser.add_argument("--perturbations", type=json.loads, required=True, help="their settings, JSON")
    parser.add_argument("--reader", required=True, help="the reader whose masks are perturbed")
    parser.add_argument("--aggregate", required=True, help="how a patient's lesions become one row")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--exclusions", type=Path, required=True)
    args = parser.parse_args()
    with reported():
        compile_kernels(args.cache / "numba")
        from recur.features.batch import extract_cases
        from recur.features.table import manifest, patient_rows
        from recur.features.variants import make_variant

        cases = read_table(args.cases)
        if args.variant.startswith("p"):
            chosen = training_patients(read_made(args.assigned), args.perturbations["patients"], args.seed)
            cases = cases[cases["patient_id"].isin(chosen) & (cases["reader"] == args.reader)]
        variant = make_variant(args.variant, args.perturbations, args.seed)
        what = f"{args.variant}, {args.cases.stem}"
        extraction = args.settings["extraction"]
        found, excluded, reasons = extract_cases(cases, args.cache, extraction, what, args.aggregate, variant)
        table, _ = patient_rows(found, reasons, args.settings)
        write_table(signed(table, manifest(args.settings)["manifest_sha256"]), args.output)
        write_table(pd.DataFrame(excluded, columns=["patient_id", "floor", "reason"]), args.exclusions)


if __name__ == "__main__":
    main()
