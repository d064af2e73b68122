"""Rule qc_page: one page to check all images of the study, worst first, with links to the pictures of the batches."""

from __future__ import annotations

import argparse
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from recur.cli import reported
from recur.images.review import COLUMNS, read_review, reviewed, strangers
from recur.report.qc_page import concerns, page
from recur.tables import read_made, write_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True)
    parser.add_argument("--cases", type=Path, nargs="+", required=True, help="tables of the cases, one a batch")
    parser.add_argument("--regions", type=Path, nargs="+", required=True, help="tables of the regions, one a batch")
    parser.add_argument("--assigned", type=Path, required=True, help="cohort/assigned.csv: the centres")
    parser.add_argument("--review", type=Path, help="notes on the masks (images.review)")
    parser.add_argument("--synthetic", action="store_true")
    parser.add_argument("--output", type=Path, required=True, help="in the folder that has the batches' pictures")
    args = parser.parse_args()
    with reported():
        batches = [with_pictures(read_made(path), args.output.parent / path.stem) for path in args.cases]
        cases = pd.concat(batches, ignore_index=True)
        assigned = read_made(args.assigned)
        if "centre" in assigned and assigned["centre"].notna().any():
            cases["centre"] = cases["patient_id"].map(assigned.set_index("patient_id")["centre"])
        regions = pd.concat([read_made(path) for path in args.regions], ignore_index=True)
        review = read_review(args.review) if args.review else pd.DataFrame(columns=COLUMNS)
        cases, lost = reviewed(cases, review), strangers(review, cases)
        write_text(page(*concerns(cases, regions), args.study, args.synthetic, lost), args.output)


def with_pictures(cases: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The cases with the paths of their pictures relative to the page; empty where there is none."""

    def relative(path: Path) -> str:
        return quote(path.relative_to(folder.parent).as_posix()) if path.exists() else ""

    pictures = [relative(folder / f"{p}.png") for p in cases["patient_id"]]
    pairs = zip(cases["patient_id"], cases["phase"], strict=True)
    names = [f"{patient}_{phase}" for patient, phase in pairs]
    small = [relative(folder / "thumbnails" / f"{name}.jpg") for name in names]
    slices = [relative(folder / "slices" / f"{name}.js") for name in names]
    paths = {"picture": pictures, "thumbnail": small, "slices": slices}
    return cases.assign(**{column: pd.Series(found, dtype=object) for column, found in paths.items()})


if __name__ == "__main__":
    main()
