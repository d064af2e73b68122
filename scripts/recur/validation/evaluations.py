"""The log of what the held-out patients were shown: a second look with other models is never silent (guard 33)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from recur.tables import StudyError, read_json, write_text


def log_evaluation(log: Path, models: Path, signature: Path | None, heldout: Path) -> None:
    """Append one line unless the last one is the same: SHA-256 of the frozen models, of the held-out rows, and of the
    line before, so that a line taken out or changed later is found. No dates: equal runs give equal logs.
    """
    files = [*sorted(models.glob("*.json")), *([signature] if signature else [])]
    entry = {"models": _digest(files), "heldout": _digest([heldout])}
    lines = log.read_text().splitlines() if log.exists() else []
    if lines and {key: json.loads(lines[-1])[key] for key in entry} == entry:
        return
    entry["previous"] = hashlib.sha256(lines[-1].encode()).hexdigest() if lines else ""
    # written whole: half a line would look like one that was changed by hand
    write_text("".join(f"{line}\n" for line in (*lines, json.dumps(entry, sort_keys=True))), log)


def read_evaluations(log: Path) -> list[str]:
    """Hashes of the sets of frozen models, oldest first; raises StudyError when the chain of lines is broken."""
    found, before = [], ""
    for number, line in enumerate(log.read_text().splitlines() if log.exists() else [], 1):
        try:
            entry = json.loads(line)
            broken = entry["previous"] != before
            found.append(entry["models"])
        except (ValueError, KeyError):
            broken = True
        if broken:
            raise StudyError(f"{log}: line {number} was changed by hand; the log of evaluations is no longer proof")
        before = hashlib.sha256(line.encode()).hexdigest()
    return found


def _digest(files: list[Path]) -> str:
    """SHA-256 over files; a model's JSON counts by its values, not by its layout."""
    whole = hashlib.sha256()
    for path in files:
        content = json.dumps(read_json(path), sort_keys=True).encode() if path.suffix == ".json" else path.read_bytes()
        whole.update(path.name.encode() + b"\0" + content)
    return whole.hexdigest()
