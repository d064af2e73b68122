"""One training patient as tables: a slice of each phase, its regions, and a map of the signature's heaviest feature."""

import argparse
import json
from pathlib import Path

import pandas as pd

from recur.cli import reported
from recur.features.example import PIXELS, VIEWS, chosen_patient, example_tables, mapped_feature
from recur.images.case_file import load_case
from recur.tables import labelled, read_made, read_table, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", required=True, help="tables of the cases, one a batch")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--train", required=True, help="training rows of the analysis")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--phases", nargs="+", required=True)
    parser.add_argument("--extraction", type=json.loads, required=True, help="extraction settings, as JSON")
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--pixels", required=True)
    parser.add_argument("--views", required=True)
    args = parser.parse_args()
    cases = pd.concat([read_table(path) for path in args.cases], ignore_index=True)
    patient = chosen_patient(cases, set(read_made(args.train)["patient_id"]), args.phases)
    pixels, views = pd.DataFrame(columns=PIXELS), pd.DataFrame(columns=VIEWS)
    if patient:
        own = cases[(cases["status"] == "ok") & (cases["patient_id"] == patient)].drop_duplicates(["phase", "reader"])
        readings = {
            phase: [load_case(args.cache / name) for name in own.loc[own["phase"] == phase, "case"]]
            for phase in args.phases
        }
        pixels, views = example_tables(readings, mapped_feature(read_made(args.weights)), args.extraction)
    write_table(labelled(pixels, args.labels), args.pixels)
    write_table(labelled(views, args.labels), args.views)


if __name__ == "__main__":
    with reported():
        main()
