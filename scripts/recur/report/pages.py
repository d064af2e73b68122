"""Self-contained HTML pages: blocks of text and tables, or a template with its script; nothing else can run."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

# h1 h2 h3 p note alarm code: text; ul: texts; table: (heads, rows), a row of one cell being a heading over those below;
# a cell is text, or (text, address) pairs that become links; figure: (PNG file, caption)
Block = tuple[str, Any]
CSS_PIXELS = 0.46  # of a printed pixel at 300 dpi: two columns of a journal are 950 wide
INTERVAL = re.compile(r"[-−]?[\d.]+ \([-−]?[\d.]+(?: to |[-–])[-−]?[\d.]+\)")  # stands on one line
STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1a1a1a;max-width:70rem;
margin:0 auto;padding:0 1rem 3rem;overflow-wrap:break-word}
h1{font-size:1.6rem;line-height:1.25}
h2{border-bottom:1px solid #c8ccd2;margin-top:2rem}
.alarm{background:#a31621;color:#fff;font-weight:700;padding:.4rem .7rem;border-radius:4px}
.note{font-size:.85rem;color:#444;margin:.3rem 0}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;margin:.5rem 0;
font-variant-numeric:tabular-nums}
th,td{border-bottom:1px solid #c8ccd2;padding:.2rem .7rem .2rem 0;text-align:left;vertical-align:top}
th[colspan]{padding-top:.6rem}td.in{padding-left:1rem;min-width:9rem}td.ci{white-space:nowrap}
figure{margin:1rem 0}figure img{max-width:100%;height:auto}figcaption{font-size:.85rem;color:#444}
pre{background:#f2f4f7;padding:.7rem;overflow-x:auto;font-size:.85rem}
@media print{body{font-size:10pt;max-width:none;padding:0}.scroll{overflow:visible}tr{break-inside:avoid}
thead{display:table-header-group}h2,h3{break-after:avoid}pre{white-space:pre-wrap}}
"""


def blocks_page(blocks: list[Block], title: str) -> str:
    """The blocks as one self-contained page that runs nothing and loads nothing; every text is escaped."""
    parts = []
    for kind, content in blocks:
        if kind == "ul":
            parts.append(f"<ul>{''.join(f'<li>{html.escape(text)}</li>' for text in content)}</ul>")
        elif kind == "table":
            parts.append(f'<div class="scroll">{html_table(*content)}</div>')
        elif kind == "figure":
            path, caption = content
            parts.append(f"<figure>{picture(path, caption)}</figure>")
        elif kind in ("alarm", "note"):
            parts.append(f'<p class="{kind}">{html.escape(content)}</p>')
        else:
            tag = "pre" if kind == "code" else kind
            parts.append(f"<{tag}>{html.escape(content)}</{tag}>")
    images = "; img-src data:" if any(kind == "figure" for kind, _ in blocks) else ""
    policy = f"default-src 'none'; style-src 'sha256-{sha256(STYLE)}'{images}; base-uri 'none'; form-action 'none'"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def picture(path: Path, caption: str) -> str:
    """A PNG inside the page with its caption, at one scale: letters are as large in narrow figures as in wide ones."""
    data, text = path.read_bytes(), html.escape(caption)
    width = round(int.from_bytes(data[16:20], "big") * CSS_PIXELS)  # its header, IHDR
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return f'<img alt="{text}" width="{width}" src="{source}"><figcaption>{text}</figcaption>'


def html_table(heads: list[str], rows: list[list[Any]]) -> str:
    """A table with its head; a row of one cell is a heading over the rows below it."""
    top = "".join(f'<th scope="col">{html.escape(head)}</th>' for head in heads)
    body = []
    for row in rows:
        if len(row) == 1 < len(heads):
            body.append(f'<tr><th scope="colgroup" colspan="{len(heads)}">{html_cell(row[0])}</th></tr>')
        else:
            body.append(f"<tr>{''.join(_data_cell(cell) for cell in row)}</tr>")
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _data_cell(cell: Any) -> str:
    text = cell if isinstance(cell, str) else ""
    inner = ' class="in"' if text.startswith("   ") else ' class="ci"' if INTERVAL.fullmatch(text) else ""
    return f"<td{inner}>{html_cell(cell)}</td>"


def html_cell(cell: Any) -> str:
    """Escaped text, or links to files beside the page, one a line."""
    if isinstance(cell, list):
        return "<br>".join(f'<a href="{html.escape(quote(place))}">{html.escape(text)}</a>' for text, place in cell)
    return html.escape(str(cell).strip())


def filled(template: Path, script: Path, parts: Mapping[str, str]) -> str:
    """The template with its `{{parts}}`, the script, and the hashes of script and style for the content policy.

    The parts are HTML: what comes from tables must be escaped in them.
    """
    page, code = template.read_text(), script.read_text()
    style = re.search("<style>(.*?)</style>", page, re.S)[1]
    known = {**parts, "script": code, "script_hash": sha256(code), "style_hash": sha256(style)}
    # one pass, so that a cell cannot name another part
    return re.sub(r"\{\{(\w+)\}\}", lambda match: known[match[1]], page)


def json_data(value: Any) -> str:
    """JSON for a <script type="application/json">: no text in it can end the element."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")


def sha256(text: str) -> str:
    """As the content policy writes it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
