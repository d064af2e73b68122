"""Rule checklists: TRIPOD+AI, CLEAR, METRICS, RQS and the IBSI sheet, filled from the run."""

import argparse
from pathlib import Path

import yaml

from recur.cli import reported
from recur.report.checklists import checklists, page
from recur.report.pages import blocks_page
from recur.tables import write_table, write_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--table", required=True)
    parser.add_argument("--html", type=Path, required=True)
    args = parser.parse_args()
    study = yaml.safe_load((args.results / "study.resolved.yaml").read_text())
    table = checklists(args.results, study)
    write_table(table, args.table)
    write_text(blocks_page(page(table, study), f"Checklists: {study['study']}"), args.html)


if __name__ == "__main__":
    with reported():
        main()
