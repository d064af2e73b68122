"""Rule model_card: one card of all frozen models of a study, as Markdown and as a page."""

import argparse
from pathlib import Path

from recur.cli import reported
from recur.report.card_facts import read_facts
from recur.report.model_card import card, markdown
from recur.report.pages import blocks_page
from recur.tables import read_json, write_text


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
    manifest = read_json(args.manifest) if args.manifest else None
    blocks = card(read_facts(args.study, args.results, args.analyses, manifest, args.citation))
    write_text(markdown(blocks), args.markdown)
    write_text(blocks_page(blocks, f"Model card: {args.study['study']}"), args.html)


if __name__ == "__main__":
    with reported():
        main()
