"""Rule ibsi_self_test: IBSI's digital phantom through floor 3; stops where a value is not what it should be."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

# One thread a job, set before numpy is loaded: jobs share the machine, and sums keep one order.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

from recur.cli import reported
from recur.features.compiled import compile_kernels
from recur.tables import write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phantom", type=Path, required=True, help="folder of voxels.csv and values.csv")
    parser.add_argument("--engine", required=True, help="fast or plain")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    with reported():
        compile_kernels(args.cache / "numba")
        from recur.features.self_test import self_test

        write_table(self_test(args.phantom, args.engine), args.output)


if __name__ == "__main__":
    main()
