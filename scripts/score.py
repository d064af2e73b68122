"""Apply frozen models to new patients, of this centre or another: the frozen files are all it needs.

    python scripts/score.py --models results/demo/models/recommended/frozen/combined_pre.json \\
        --signature results/demo/signature/recommended/signature.json \\
        --clinical patients.csv --features features.parquet --output scores.csv

The clinical table has the columns and cells of the study's own; the feature table is floor 3's, made with the same
settings (its manifest hash is compared). From images: `results/<study>/report/model_card.html` prints the study file.

A patient with a cell that a model does not take has no score of it; the column `reason` and a line on stderr say why.
Ends with 0 when anybody was scored, with 1 when nobody was, or the tables cannot be used (then without an output).
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from recur.cli import reported
from recur.contracts import read_contracted
from recur.predict.new_patients import read_new_features, read_new_patients, with_burden
from recur.predict.scorer import centre_problems, check_pair, known_centres, refusing, score_patients
from recur.tables import Problem, StudyError, grouped, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="frozen models, or their folder")
    parser.add_argument("--signature", help="the frozen signature of the same analysis")
    parser.add_argument("--clinical", help="table of the clinical inputs; not needed by `signature` alone")
    parser.add_argument("--sheet", help="of the clinical table, where it is a workbook with several")
    parser.add_argument("--features", help="feature table (Parquet, with its manifest hash)")
    parser.add_argument("--features-sheet", help="of the feature table")
    parser.add_argument("--output", required=True, help="CSV")
    args = parser.parse_args()
    paths = [path for given in args.models for path in (sorted(given.glob("*.json")) if given.is_dir() else [given])]
    missing = [f"{path}: no such file" for path in args.models if not path.exists()]
    models = {} if missing else {path.stem: read_contracted(path, "model") for path in paths}
    missing += [
        f"{name}: a model of several levels, which are not scored here, or of another version of the workflow"
        for name in models
        if "inputs" not in models[name]
    ]
    if missing or not models:
        raise StudyError(missing or "--models: no model in the folder")
    signature = read_contracted(args.signature, "signature") if args.signature else None
    for name, model in models.items():
        check_pair(name, model, signature)
    if signature and not args.features:
        raise StudyError("--signature needs --features")
    if not args.clinical and (not signature or set(models) != {"signature"}):
        raise StudyError("--clinical: the models have clinical inputs")
    frame, features, wrong = new_patients(args, models, signature)
    frame = with_burden(frame, features, models)
    table = score_patients(models, signature, frame, features, wrong)
    write_table(table, args.output)
    refused = [problem for model in models.values() for problem in refusing(model, wrong, frame)]
    for line in grouped(dict.fromkeys(refused)):
        print(f"not scored: {line}", file=sys.stderr)
    scored = table.loc[table["reason"] == "", "patient_id"].nunique()
    if not scored:
        raise StudyError(f"none of the {table['patient_id'].nunique()} patients could be scored: see {args.output}")
    print(f"{scored} of {table['patient_id'].nunique()} patients, {len(models)} models: {args.output}")


def new_patients(
    args: argparse.Namespace, models: dict[str, Any], signature: dict[str, Any] | None
) -> tuple[pd.DataFrame, pd.DataFrame | None, dict[str, list[Problem]]]:
    """Clinical rows, features and what is wrong with single patients, from the tables that were given."""
    frame, wrong = None, {}
    if args.clinical:
        frame, wrong = read_new_patients(args.clinical, models, args.sheet, known_centres(signature))
    if signature is None:
        return frame, None, wrong
    inputs = next(iter(models.values()))["inputs"]
    ids = None if frame is None else frame["patient_id"]
    features, found = read_new_features(args.features, signature, ids, inputs, args.features_sheet)
    if frame is None:
        frame = pd.DataFrame({"patient_id": features["patient_id"], "centre": ""})
    found += centre_problems(signature, frame, inputs["centre"], found)
    return frame, features, wrong | {"signature": found}


if __name__ == "__main__":
    with reported():
        main()
