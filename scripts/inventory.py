"""Rule inventory: a batch's images and masks on disk, with the fingerprint that decides whether it is read again."""

from __future__ import annotations

import argparse
from pathlib import Path

from recur.cli import reported
from recur.images.inventory import inventory, read_rows
from recur.tables import read_table, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="image manifest (images.csv)")
    parser.add_argument("--sheet", help="of a manifest that is a spreadsheet")
    parser.add_argument("--root", type=Path, help="folder its paths are relative to; default the manifest's own")
    parser.add_argument("--phases", nargs="+", required=True)
    parser.add_argument("--readers", nargs="+", required=True)
    parser.add_argument("--assigned", type=Path, required=True, help="cohort/assigned.csv")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--batches", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    with reported():
        manifest, assigned = read_rows(args.manifest, args.sheet), read_table(args.assigned)
        manifest = manifest[manifest["phase"].isin(args.phases) & manifest["reader"].isin(args.readers)]
        rows = inventory(manifest, args.root or args.manifest.parent, assigned, args.batch, args.batches)
        write_table(rows, args.output)


if __name__ == "__main__":
    main()
