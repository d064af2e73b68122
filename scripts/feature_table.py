"""Rule feature_table: one reader's features of all batches in one table, and a manifest of what it holds."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

from recur.cli import reported
from recur.features.table import manifest, merge_batches
from recur.tables import write_json, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=Path, nargs="+", required=True)
    parser.add_argument("--reader", required=True)
    parser.add_argument("--settings", type=json.loads, required=True, help="JSON: see recur.features.table.manifest")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, required=True)
    args = parser.parse_args()
    with reported():
        table = merge_batches((pd.read_parquet(path) for path in args.batches), args.reader, args.settings)
        write_table(table, args.output)
        write_json(manifest(args.settings) | {"patients": len(table)}, args.manifest)


if __name__ == "__main__":
    main()
