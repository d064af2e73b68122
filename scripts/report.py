"""Execute the report notebook with papermill and write it as one self-contained HTML file."""

import argparse
import os
import sys
from pathlib import Path

import nbformat
import papermill
from nbconvert import HTMLExporter

from recur.cli import reported
from recur.sources import ROOT
from recur.tables import write_text

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notebook", required=True)
    parser.add_argument("--results", required=True, help="folder of the study's results")
    parser.add_argument("--captions", required=True, help="JSON: [category, caption] by <analysis>/<figure>")
    parser.add_argument("--executed", required=True)
    parser.add_argument("--html", type=Path, required=True)
    args = parser.parse_args()
    here = str(Path(__file__).resolve().parent)
    os.environ["PYTHONPATH"] = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    parameters = {"results": str(Path(args.results).resolve()), "captions": args.captions}
    papermill.execute_notebook(
        args.notebook, args.executed, parameters, kernel_name="python3", progress_bar=False, stderr_file=sys.stderr
    )
    notebook = nbformat.read(args.executed, as_version=4)
    exporter = HTMLExporter(template_name="basic", exclude_input=True, exclude_output_prompt=True)
    body, _ = exporter.from_notebook_node(notebook)
    page = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Study report</title>'
        f"<style>{(ROOT / 'report/report.css').read_text()}</style></head><body>{body}</body></html>\n"
    )
    write_text(page, args.html)


if __name__ == "__main__":
    with reported():
        main()
