"""Write the tables of the synthetic demo cohort: clinical table, image manifest and planted truth."""

from __future__ import annotations

import argparse

from recur.cli import reported
from recur.demo.tables import N_PATIENTS, make_cohort, redraw
from recur.tables import write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--patients", type=int, nargs=2, default=N_PATIENTS, metavar=("A", "B"), help="per centre")
    parser.add_argument("--clinical", required=True, help="clinical.csv to write")
    parser.add_argument("--images", required=True, help="images.csv (image manifest) to write")
    parser.add_argument("--truth", required=True, help="truth.csv to write")
    parser.add_argument("--redraw-seed", type=int, help="draw clinical columns and outcomes again with this seed")
    parser.add_argument("--signal", choices=["full", "clinical_only", "none"], default="full", help="of a redraw")
    args = parser.parse_args()
    with reported():
        clinical, images, truth = make_cohort(args.seed, tuple(args.patients))
        if args.redraw_seed is not None:
            clinical = redraw(truth, clinical, args.redraw_seed, args.signal)
        write_table(clinical, args.clinical)
        write_table(images, args.images)
        write_table(truth, args.truth)


if __name__ == "__main__":
    main()
