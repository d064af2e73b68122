"""Rule ibsi_self_test: IBSI's digital phantom through floor 3; stops where a value is not what it should be.

Without the phantom the table has no row, and the report says so.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

# One thread a job, set before numpy is loaded: jobs share the machine, and sums keep one order.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import pandas as pd

from recur.cli import reported
from recur.features.compiled import compile_kernels
from recur.tables import write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phantom", type=Path, help="folder of the phantom and its consensus values")
    parser.add_argument("--engine", required=True, help="fast or plain")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    with reported():
        compile_kernels(args.cache / "numba")
        from recur.features.self_test import COLUMNS, self_test

        found = self_test(args.phantom, args.engine) if args.phantom else pd.DataFrame(columns=COLUMNS)
        write_table(found, args.output)


if __name__ == "__main__":
    main()
