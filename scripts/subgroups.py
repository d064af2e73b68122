"""Concordance of the frozen models within the levels of each clinical variable, in every cohort."""

import argparse
import json

import pandas as pd

from recur.cli import reported
from recur.tables import labelled, read_json, read_made, write_table
from recur.validation.subgroups import subgroups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--risks", required=True)
    parser.add_argument("--cohorts", nargs=2, required=True, help="training and held-out rows")
    parser.add_argument("--settings", type=read_json, required=True)
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    frame = pd.concat(map(read_made, args.cohorts), ignore_index=True)
    candidates, variables = args.settings["candidates"], args.settings["variables"]
    # the candidates come first, then everything else that was declared
    terms = dict.fromkeys([*candidates["pre"], *candidates["post"], *variables])
    terms = [name for name in terms if name in frame and variables[name]["kind"] != "list"]
    write_table(labelled(subgroups(read_made(args.risks), frame, terms, variables), args.labels), args.output)


if __name__ == "__main__":
    with reported():
        main()
