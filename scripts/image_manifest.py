"""Write the image manifest of a public collection from the headers of what was downloaded."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pandas as pd

from recur.cli import reported
from recur.download.store import read_series_list
from recur.images.manifest import image_manifest
from recur.tables import StudyError, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--downloaded", nargs="+", required=True, help="tables of download_series")
    parser.add_argument("--root", type=Path, required=True, help="folder that their paths are relative to")
    parser.add_argument("--public", type=json.loads, required=True, help="section `public` of the study, as JSON")
    parser.add_argument("--phases", nargs="+", required=True)
    parser.add_argument("--output", required=True, help="the image manifest")
    parser.add_argument("--left-out", required=True, help="patients and phases without a row, with the reason")
    args = parser.parse_args()
    with reported():
        series = pd.concat([read_series_list(path) for path in args.downloaded])
        manifest, left_out = image_manifest(series, args.root, args.public, args.phases)
        for row in left_out.itertuples():
            print(f"patient {row.patient_id}: {f'{row.phase}: ' if row.phase else ''}{row.reason}", file=sys.stderr)
        if manifest.empty:
            raise StudyError("no image of the collection can be used; the reasons are above")
        write_table(manifest, args.output)
        write_table(left_out, args.left_out)


if __name__ == "__main__":
    main()
