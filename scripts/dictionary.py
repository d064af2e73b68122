"""Write the data dictionary, results/README.md, from the contracts of all tables (schemas/tables/)."""

from __future__ import annotations

import argparse
from pathlib import Path

from recur.cli import reported
from recur.contracts import SCHEMAS
from recur.report.dictionary import dictionary
from recur.tables import write_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=SCHEMAS.parent / "results/README.md")
    args = parser.parse_args()
    with reported():
        write_text(dictionary(), args.output)


if __name__ == "__main__":
    main()
