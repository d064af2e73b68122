"""Apply frozen models to new patients, of this centre or another: the frozen files are all it needs.

    python scripts/score.py --models results/demo/models/recommended/frozen/combined_pre.json \\
        --signature results/demo/signature/recommended/signature.json \\
        --clinical patients.csv --features features.parquet --output scores.csv

The clinical table has the columns and cells of the study's own; the feature table is floor 3's, made with the same
settings (its manifest hash is compared). From images: `results/<study>/report/model_card.html` prints the study file.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from recur.cli import reported
from recur.scorer import check_pair, read_new_features, read_new_patients, score_patients, with_burden
from recur.tables import StudyError, read_frozen, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="frozen models, or their folder")
    parser.add_argument("--signature", help="the frozen signature of the same analysis")
    parser.add_argument("--clinical", help="table of the clinical inputs; not needed by `signature` alone")
    parser.add_argument("--features", help="feature table (Parquet, with its manifest hash)")
    parser.add_argument("--output", required=True, help="CSV")
    args = parser.parse_args()
    paths = [path for given in args.models for path in (sorted(given.glob("*.json")) if given.is_dir() else [given])]
    missing = [f"{path}: no such file" for path in args.models if not path.exists()]
    models = {} if missing else {path.stem: read_frozen(path) for path in paths}
    missing += [
        f"{name}: no frozen model of this version (no `inputs`)" for name in models if "inputs" not in models[name]
    ]
    if missing or not models:
        raise StudyError(missing or "--models: no model in the folder")
    signature = read_frozen(args.signature) if args.signature else None
    for name, model in models.items():
        check_pair(name, model, signature)
    if signature and not args.features:
        raise StudyError("--signature needs --features")
    if not args.clinical and (not signature or set(models) != {"signature"}):
        raise StudyError("--clinical: the models have clinical inputs")
    frame = read_new_patients(args.clinical, models) if args.clinical else None
    ids = None if frame is None else frame["patient_id"]
    features = read_new_features(args.features, signature, ids) if signature else None
    if frame is None:
        frame = pd.DataFrame({"patient_id": features["patient_id"], "centre": ""})
    table = score_patients(models, signature, with_burden(frame, features, models), features)
    write_table(table, args.output)
    unscored = table[table["lp"].isna()].drop_duplicates("patient_id")
    for text, part in unscored.groupby("warnings", sort=False):
        print(f"{len(part)} patients ({', '.join(part['patient_id'][:3])}): {text}", file=sys.stderr)
    print(f"{table['patient_id'].nunique()} patients, {len(models)} models: {args.output}")


if __name__ == "__main__":
    with reported():
        main()
