"""The cause of a failed run, said again at its end: hundreds of lines of other jobs may stand between."""

from __future__ import annotations

from pathlib import Path

MOST_LOGS, MOST_LINES = 5, 10


def causes(logs: Path, since: float) -> list[str]:
    """The last lines of what failed: of each log written `since` (seconds since 1970) that ends in ERROR lines these
    lines, under its name. A job that succeeds leaves no such log. The latest logs come last.
    """
    recent = [(path.stat().st_mtime, path) for path in logs.rglob("*.log")]
    found = []
    for _, path in sorted((when, path) for when, path in recent if when >= since):
        lines = last_errors(path.read_text(errors="replace").splitlines())
        if lines:
            found.append([f"{path}:", *(f"  {line}" for line in lines)])
    return [line for part in found[-MOST_LOGS:] for line in part]


def last_errors(lines: list[str]) -> list[str]:
    """The ERROR lines at the end of a log; where a program ended in a traceback, its last line."""
    kept = [line for line in lines if line.strip()]
    errors = [line for line in kept if line.startswith("ERROR: ")]
    if not errors and any(line.startswith("Traceback ") for line in kept):
        errors = kept[-1:]
    more = [f"... and {len(errors) - MOST_LINES} more"] if len(errors) > MOST_LINES else []
    return errors[:MOST_LINES] + more
