"""Rule provenance: what the results were made from, as JSON and as an RO-Crate."""

import argparse
from pathlib import Path

import yaml

from recur.cli import reported
from recur.report.provenance import provenance, write_crate
from recur.tables import write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, required=True, help="study.resolved.yaml")
    parser.add_argument("--study-file", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    args = parser.parse_args()
    study = yaml.safe_load(args.study.read_text())
    record = provenance(study, args.study_file, args.results)
    write_json(record, args.results / "provenance.json")
    write_crate(record, study["title"], args.results)


if __name__ == "__main__":
    with reported():
        main()
