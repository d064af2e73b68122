"""Join what was measured on cohorts with the internal validation into one performance table."""

import argparse
import json

import pandas as pd

from recur.cli import reported
from recur.resampling.performance import frequency_table, internal_parts
from recur.tables import labelled, read_made, write_table


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
    resamples = None
    if args.resamples:
        resamples = pd.concat([read_made(path) for path in args.resamples])
    parts = [measured, read_made(args.missing)]
    parts += internal_parts(measured, nested, resamples, args.metric, args.seed)
    table = pd.concat(parts)[[name for name in measured.columns if name not in args.labels]]
    write_table(labelled(table, args.labels), args.output)
    names = [name for name in pd.read_parquet(args.features).columns if name != "patient_id"]
    write_table(labelled(frequency_table(resamples, names), args.labels), args.frequencies)


if __name__ == "__main__":
    with reported():
        main()
