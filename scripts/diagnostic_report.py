"""One page of a diagnostic study: what was compared, its tables and figures, and the check of printed numbers."""

import argparse
from pathlib import Path

from recur.cli import reported
from recur.report.diagnostic_page import blocks
from recur.report.pages import blocks_page
from recur.tables import write_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="folder of the study's results")
    parser.add_argument("--figures", nargs="*", default=[], help="PNG files")
    parser.add_argument("--captions", nargs="*", default=[], help="one for each figure")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    figures = list(zip(map(Path, args.figures), args.captions, strict=True))
    write_text(blocks_page(blocks(args.results, figures), "Diagnostic study"), args.output)


if __name__ == "__main__":
    with reported():
        main()
