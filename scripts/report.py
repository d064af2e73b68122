"""Execute the report notebook with papermill and write it as one self-contained HTML file."""

import argparse
import os
import sys
from pathlib import Path

import nbformat
import papermill
from nbconvert import HTMLExporter

from recur.cli import reported
from recur.tables import write_text

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#111}
table{border-collapse:collapse;margin:.5rem 0;font-size:13px}
th,td{padding:.2rem .6rem;text-align:left;vertical-align:top}
tr{border-bottom:1px solid #ddd}figure{margin:1.2rem 0}figcaption{font-size:13px;color:#444}
.box{border:2px solid #0072B2;border-radius:6px;padding:.6rem 1rem;margin:1rem 0}.flags{color:#a33a00;font-size:13px}
.synthetic{background:#a33a00;color:#fff;padding:.4rem 1rem;font-weight:bold;border-radius:4px}
.pictures figure{display:inline-block;width:48%;margin:.5%;vertical-align:top}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notebook", required=True)
    parser.add_argument("--results", required=True, help="folder of the study's results")
    parser.add_argument("--captions", required=True, help="JSON: captions by <analysis>/<figure>")
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
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Study report</title>'
        f"<style>{STYLE}</style></head><body>{body}</body></html>"
    )
    write_text(page, args.html)


if __name__ == "__main__":
    with reported():
        main()
