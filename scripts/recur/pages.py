"""Self-contained HTML pages: a template, its one script, and a policy that lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


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
