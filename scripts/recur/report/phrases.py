"""Names in a sentence."""

from __future__ import annotations

from typing import Any


def named(names: list[str], word: str) -> str:
    if len(names) == 1:
        return f"{word} {names[0]}"
    return f"{word}s {listed(names)}" if names else ""


def listed(names: Any) -> str:
    """a, b and c."""
    names = [str(name) for name in names]
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
