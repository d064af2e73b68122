"""Self-contained HTML pages: one base template for all, blocks of text, tables and figures, and what may run in them.

Every value is escaped where a template shows it; only the style and the script of the page itself have their hashes in
its content policy.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

# h1 h2 h3 h4 p note alarm code: text; ul: texts; table, wide: (heads, rows), a row of one cell being a heading over
# those below; figure: (PNG file, caption[, anchor]); details: (summary, blocks); group: (class, blocks). A text is a
# string, or a list of strings, of (text, address) for a link and of (text, None) for bold letters. A cell is text, or a
# list of (text, file beside the page), one a line.
Block = tuple[str, Any]
TEMPLATES = Path(__file__).parent / "templates"
CSS_PIXELS = 0.46  # of a printed pixel at 300 dpi: two columns of a journal are 950 wide
INTERVAL = re.compile(r"[-−]?[\d.]+ \([-−]?[\d.]+(?: to |[-–])[-−]?[\d.]+\)")  # stands on one line


def page(
    template: str,
    title: str,
    styles: Iterable[str],
    script: str | None = None,
    sources: Mapping[str, str] | None = None,
    **values: Any,
) -> str:
    """A whole page of a template that extends base.html.

    styles, script: names of its style sheets, after that of all pages, and of its script. sources: directive of the
    content policy -> what it allows beside style and script, such as {"img-src": "data:"}. values: what the template
    shows, of which `heading` and `synthetic` (the banner) stand on top of every page that has them.
    """
    style = Markup("".join((TEMPLATES / name).read_text() for name in ("page.css", *styles)))
    shown = {"heading": None, "synthetic": None, "title": title, "style": style} | values
    allowed = {"default-src": "'none'", "style-src": f"'sha256-{sha256(style)}'"} | dict(sources or {})
    if script is not None:
        shown["script"] = Markup((TEMPLATES / script).read_text())
        allowed["script-src"] = f"'sha256-{sha256(shown['script'])}' {allowed.get('script-src', '')}".strip()
    allowed |= {"base-uri": "'none'", "form-action": "'none'"}
    shown["policy"] = Markup("; ".join(f"{name} {source}" for name, source in allowed.items()))
    return _environment().get_template(template).render(shown)


def blocks_page(blocks: list[Block], title: str) -> str:
    """The blocks as one self-contained page that runs nothing and loads nothing."""
    images = {"img-src": "data:"} if any(kind == "figure" for kind, _ in blocks) else {}
    return page("blocks.html", title, ["blocks.css"], sources=images, blocks=blocks)


def drawn(blocks: list[Block]) -> Markup:
    """The blocks as a piece of HTML."""
    return Markup(_environment().get_template("block.html").module.drawn(blocks))


@cache
def _environment() -> Environment:
    loader = FileSystemLoader(TEMPLATES)
    made = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {"quoted": quote, "look": cell_look, "embedded": embedded}
    return made


def cell_look(cell: Any) -> Markup:
    """The class of a table's cell: one set in from the left begins with three blanks; an interval is not broken."""
    if not isinstance(cell, str):
        return Markup("")
    if cell.startswith("   "):
        return Markup(' class="in"')
    return Markup(' class="ci"' if INTERVAL.fullmatch(cell) else "")


def embedded(path: Path) -> tuple[str, int]:
    """A PNG as an address that holds it, and its width in CSS pixels: letters are as large in narrow figures as in wide
    ones.
    """
    data = path.read_bytes()
    width = int.from_bytes(data[16:20], "big")  # its header, IHDR
    return f"data:image/png;base64,{base64.b64encode(data).decode()}", round(width * CSS_PIXELS)


def json_data(value: Any) -> Markup:
    """JSON for a <script type="application/json">: no text in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028"))


def sha256(text: str) -> str:
    """As the content policy writes it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
