"""Rule report: execute the notebook of the report and write it as one self-contained HTML file."""

import argparse
from pathlib import Path

from recur.cli import reported
from recur.report.notebook import execute, report_page
from recur.report.results import read_run
from recur.tables import write_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notebook", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True, help="folder of the study's results")
    parser.add_argument("--executed", type=Path, required=True, help="the notebook with its outputs")
    parser.add_argument("--html", type=Path, required=True)
    args = parser.parse_args()
    run = read_run(args.results)
    write_text(report_page(execute(args.notebook, args.results, args.executed), run.study), args.html)


if __name__ == "__main__":
    with reported():
        main()
