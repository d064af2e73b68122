"""Rule features: the pyradiomics features of a batch of cases; bad ones are named in the exclusions, others go on."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
from pathlib import Path
from typing import Any

# One thread a job, set before numpy is loaded: jobs share the machine, and sums keep one order.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import pandas as pd

from recur.cli import progress, reported
from recur.tables import read_table, write_table


def compile_kernels(directory: Path) -> None:
    """Compile the loops of recur.features.kernels, or load them from `directory` if a job compiled them already.

    Not in the source tree, which may be read-only. The lock lets one of several starting jobs compile.
    """
    directory.mkdir(parents=True, exist_ok=True)
    os.environ["NUMBA_CACHE_DIR"] = str(directory.resolve())  # read when numba is imported
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        import recur.features.kernels  # noqa: F401


def extract_cases(
    cases: pd.DataFrame, cache: Path, extraction: dict[str, Any], what: str = "features"
) -> tuple[dict[tuple[str, str], dict[str, dict[str, float]]], list[dict[str, str]]]:
    """Features of every usable case, (patient, reader) -> phase -> features, and the exclusions of those that fail."""
    from recur.features.cache import cached_features, feature_key
    from recur.features.extract import check_extraction, extract_case, load_case

    check_extraction(extraction)
    usable = cases[cases["status"] == "ok"]
    rims = bool((pd.to_numeric(usable["rim_voxels"]) > 0).any())
    found: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    excluded = []
    for row in progress(usable.itertuples(), len(usable), what):
        try:
            stored = cache / "features" / f"{feature_key(row.case, extraction)}.npz"
            path = cache / row.case
            features = cached_features(stored, lambda path=path: extract_case(load_case(path), extraction))
            if rims and not any(name.startswith("rim_") for name in features):
                raise ValueError("rim: no voxels, while other patients have a rim; check the masks")
            found.setdefault((row.patient_id, row.reader), {})[row.phase] = features
        except ValueError as error:
            reason = f"{row.phase} {row.reader}: {error}"
            excluded.append({"patient_id": row.patient_id, "floor": "features", "reason": reason})
    return found, excluded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--extraction", type=json.loads, required=True, help="settings of the extraction, JSON")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--exclusions", type=Path, required=True)
    parser.add_argument("--phases", nargs="+", help="phases that a row needs; all of the case table unless given")
    args = parser.parse_args()
    with reported():
        compile_kernels(args.cache / "numba")
        from recur.features.table import patient_rows

        cases = read_table(args.cases)
        found, excluded = extract_cases(cases, args.cache, args.extraction, f"features, {args.cases.stem}")
        phases = args.phases or cases["phase"].unique()
        write_table(patient_rows(found, phases, args.extraction), args.output)
        write_table(pd.DataFrame(excluded, columns=["patient_id", "floor", "reason"]), args.exclusions)


if __name__ == "__main__":
    main()
