"""Join what was measured on cohorts with the internal validation into one performance table."""

import argparse
import json

import pandas as pd

from recur.cli import reported
from recur.resampling.bootstrap import resample_performance, selection_frequency
from recur.resampling.internal_calibration import nested_measures
from recur.resampling.nested import nested_performance
from recur.tables import labelled, read_made, write_table
from recur.validation import binary
from recur.validation.tables import horizons_of


def feature_names(path: str) -> list[str]:
    """Names of the features of a training file."""
    return [name for name in pd.read_parquet(path).columns if name != "patient_id"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measured", required=True)
    parser.add_argument("--nested", required=True)
    parser.add_argument("--resamples", nargs="*", default=[])
    parser.add_argument("--features", required=True, help="training features: their names")
    parser.add_argument("--missing", required=True, help="sensitivity to missing cells")
    parser.add_argument("--metric", choices=["c_harrell", "auc"], required=True, help="what resamples are judged by")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--output", required=True)
    parser.add_argument("--frequencies", required=True, help="how often each feature was selected")
    args = parser.parse_args()
    measured = read_made(args.measured)
    nested = read_made(args.nested)
    parts, frequencies = [measured, read_made(args.missing)], pd.Series(dtype=float)
    if len(nested):
        parts.append(nested_performance(nested, args.seed).assign(metric=args.metric))
        if "risk" in nested:
            parts.append(binary.nested_measures(nested, args.seed))
        elif horizons_of(nested):
            parts.append(nested_measures(nested, args.seed))
    if args.resamples:
        resamples = pd.concat([read_made(path) for path in args.resamples])
        apparent = measured[measured["cohort"] == "train-apparent"]
        parts.append(resample_performance(resamples, apparent, args.metric))
        frequencies = selection_frequency(resamples, feature_names(args.features))
    table = pd.concat(parts)[[name for name in measured.columns if name not in args.labels]]
    write_table(labelled(table, args.labels), args.output)
    frequencies = pd.DataFrame({"feature": frequencies.index, "frequency": frequencies.to_numpy()})
    frequencies = frequencies.sort_values(["frequency", "feature"], ascending=[False, True])
    write_table(labelled(frequencies, args.labels), args.frequencies)


if __name__ == "__main__":
    with reported():
        main()
