"""Rule manuscript_tables: the tables of one analysis as a manuscript wants them, each as CSV, HTML and Word."""

import argparse
import json
from pathlib import Path

from recur.cli import reported
from recur.report.manuscript import SYNTHETIC, as_csv, as_html, manuscript_tables
from recur.report.word import as_docx
from recur.tables import write_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--labels", type=json.loads, required=True, help="analysis and endpoint, as JSON")
    parser.add_argument("--words", type=json.loads, required=True, help="recur.vocabulary.study_words, as JSON")
    parser.add_argument("--synthetic", action="store_true", help="generated data: say so under each table")
    parser.add_argument("--output", type=Path, required=True, help="folder")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    for table in manuscript_tables(args.results, args.labels["analysis"], args.words):
        if args.synthetic:
            table = table._replace(notes=[SYNTHETIC, *table.notes])
        stem = args.output / table.name
        write_text(as_csv(table), stem.with_suffix(".csv"))
        write_text(as_html(table), stem.with_suffix(".html"))
        stem.with_suffix(".docx").write_bytes(as_docx(table))


if __name__ == "__main__":
    with reported():
        main()
