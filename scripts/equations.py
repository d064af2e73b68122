"""The equations of the frozen models as a table, for the nomogram and for readers."""

import argparse
import json
from pathlib import Path

from recur.cli import reported
from recur.predict.equation import equation_table
from recur.tables import labelled, read_frozen, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder of the frozen models")
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    models = {path.stem: read_frozen(path) for path in sorted(args.models.glob("*.json"))}
    write_table(labelled(equation_table(models), args.labels), args.output)


if __name__ == "__main__":
    with reported():
        main()
