"""Rule model_card: one card of all frozen models of a study, as Markdown and as a page."""

import argparse
import platform
import re
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from recur.cli import reported
from recur.report.methods import methods
from recur.report.model_card import card, markdown
from recur.report.pages import blocks_page
from recur.tables import read_frozen, read_json, read_made, write_text

PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=read_json, required=True, help="settings/model_card.json")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--analyses", nargs="+", required=True)
    parser.add_argument("--citation", type=Path, required=True, help="CITATION.cff: version and licence")
    parser.add_argument("--manifest", help="the first reader's feature manifest; studies with images")
    parser.add_argument("--markdown", type=Path, required=True)
    parser.add_argument("--html", type=Path, required=True)
    args = parser.parse_args()
    results, analyses = args.results, args.analyses
    citation = dict(re.findall(r"^(version|license): (\S+)$", args.citation.read_text(), re.M))
    manifest = read_json(args.manifest) if args.manifest else None
    versions = {"this workflow": citation["version"], "Python": platform.python_version()}
    versions |= {name: version(name) for name in PACKAGES} | (manifest["versions"] if manifest else {})
    facts = {
        "study": args.study,
        "models": {
            a: {path.stem: read_frozen(path) for path in sorted((results / f"models/{a}/frozen").glob("*.json"))}
            for a in analyses
        },
        "signatures": read_each(results, analyses, "signature/{}/signature.json", read_frozen),
        "methods": {a: methods(results, args.study, a) for a in analyses},
        "cohorts": {
            a: pd.concat([read_made(results / f"cohort/{a}/{part}.csv") for part in ("train", "heldout")])
            for a in analyses
        },
        "performance": read_made(results / "validation/performance.csv"),
        "guards": read_made(results / "validation/guards.csv"),
        "versions": versions,
        "licence": citation["license"],
        "manifest": manifest,
    }
    blocks = card(facts)
    write_text(markdown(blocks), args.markdown)
    write_text(blocks_page(blocks, f"Model card: {args.study['study']}"), args.html)


def read_each(results: Path, analyses: list[str], name: str, read) -> dict:
    """analysis -> content of a file that only some analyses have."""
    paths = {analysis: results / name.format(analysis) for analysis in analyses}
    return {analysis: read(path) for analysis, path in paths.items() if path.exists()}


if __name__ == "__main__":
    with reported():
        main()
