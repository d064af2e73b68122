"""Rule calculator: the risk calculator, one static page of all frozen models of a study."""

import argparse
from pathlib import Path

from recur.cli import reported
from recur.report.calculator import page
from recur.tables import read_frozen, read_json, read_made, write_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=read_json, required=True, help="settings/model_card.json")
    parser.add_argument(
        "--models", type=Path, nargs="+", required=True, help="folders of the frozen models, one an analysis"
    )
    parser.add_argument("--performance", required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    models: dict[str, dict] = {}
    for path in [path for folder in args.models for path in sorted(folder.glob("*.json"))]:
        model = read_frozen(path)
        models.setdefault(model["analysis"], {})[path.stem] = model
    write_text(page(models, args.study, read_made(args.performance)), args.output)


if __name__ == "__main__":
    with reported():
        main()
