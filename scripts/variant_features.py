"""Rule variant_features: features of perturbed readings (p1, p2, ...) or of a negative control, of a batch."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from pathlib import Path
from typing import Any

# One thread a job, set before numpy is loaded: jobs share the machine, and sums keep one order.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import numpy as np
import pandas as pd

import recur.images.controls
import recur.images.perturb
from recur.cli import reported
from recur.cohort.training import TRAIN
from recur.features.compiled import compile_kernels
from recur.sources import checksums, closure
from recur.tables import read_made, read_table, signed, write_table


def training_patients(assigned: pd.DataFrame, count: int | None, seed: int) -> set[str]:
    """Patients that train in every analysis, all or `count` of them, chosen by a hash of the seed and their id."""
    splits = [name for name in assigned.columns if name.startswith("cohort")]
    train = assigned.loc[assigned[splits].eq(TRAIN).all(axis=1), "patient_id"]
    order = sorted(train, key=lambda patient: hashlib.sha256(f"{seed}/{patient}".encode()).digest())
    return set(order[:count])


def make_variant(name: str, perturbations: dict[str, Any], seed: int) -> Any:
    """The change that a variant's name stands for, with all it depends on as its key."""
    from recur.features.batch import Variant

    perturbed = name not in recur.images.controls.CONTROLS
    module = recur.images.perturb if perturbed else recur.images.controls
    own = closure(module.__file__, within=Path(module.__file__).parent)
    key = {"variant": name, "seed": seed, "code": [digest for digest, _ in checksums(own)]}

    def control(case: Any, rng: np.random.Generator) -> Any:
        image = recur.images.controls.controlled(case.image, case.labels, case.facts["regions"], name, rng)
        return case._replace(image=image)

    def reading(case: Any, rng: np.random.Generator) -> Any:
        kinds = perturbations["kinds"]
        image, labels = recur.images.perturb.perturbed(case.image, case.labels, case.spacing, case.facts, kinds, rng)
        # turned regions may come near the crop's border: the crop is now the whole image
        axes = case.direction.reshape(3, 3) * case.spacing
        size, corner = np.array(image.shape[::-1]), case.full_origin + axes @ case.offset
        return case._replace(image=image, labels=labels, full_size=size, offset=0 * size, full_origin=corner)

    return Variant(key | {"kinds": perturbations["kinds"]}, reading) if perturbed else Variant(key, control)


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
