"""What an external result means in its case-mix: lp distributions, membership, updating, size of a validation."""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from recur.cli import reported
from recur.cohort.training import read_rows
from recur.tables import labelled, read_frozen, read_made, write_table
from recur.validation.transport import model_inputs, surveillance_rows, transport_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--risks", required=True)
    parser.add_argument("--models", type=Path, required=True, help="folder of the frozen models")
    parser.add_argument("--signature")
    parser.add_argument("--cohorts", nargs=2, required=True, help="training and held-out rows")
    parser.add_argument("--features", nargs=2, required=True, help="their features")
    parser.add_argument("--visits", required=True, help="cohort/surveillance.csv")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    models = {path.stem: read_frozen(path) for path in sorted(args.models.glob("*.json"))}
    signature = read_frozen(args.signature) if args.signature else None
    (train, x, names), (held, y, held_names) = map(read_rows, args.cohorts, args.features)
    frame = pd.concat([train, held], ignore_index=True)
    features = np.vstack([x, y[:, [held_names.index(name) for name in names]]])
    inputs = {name: model_inputs(model, signature, frame, features, names) for name, model in models.items()}
    designs, outside = ({name: pair[k] for name, pair in inputs.items()} for k in (0, 1))
    table = transport_table(read_made(args.risks), models, designs, outside, args.seed)
    table = pd.concat([table, surveillance_rows(read_made(args.visits), frame)], ignore_index=True)
    write_table(labelled(table, args.labels), args.output)


if __name__ == "__main__":
    with reported():
        main()
