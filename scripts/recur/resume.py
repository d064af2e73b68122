"""Long loops that go on where they were killed: every finished item is kept in a file beside the output."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from recur.cli import progress
from recur.sources import closure


def fingerprint(program: str | Path, files: Iterable[str | Path], *settings: Any) -> str:
    """Changes when an input file, a setting or any source of the program does: nothing kept from another run is then
    used.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in [*files, *closure(program)]:
        digest.update(hashlib.sha256(Path(path).read_bytes()).digest())
    return digest.hexdigest()


def finished(kept: Path, key: str) -> dict[int, Any]:
    """number -> result of the items that an earlier run of the same key finished; a torn last line counts as none."""
    if not kept.exists():
        return {}
    first, *lines = kept.read_text().split("\n")
    if first != key:
        return {}
    return dict(json.loads(line) for line in lines[:-1])  # what follows the last line end was not finished


def resumed(output: str | Path, key: str, numbers: Sequence[int], work: Callable[[int], Any], what: str) -> list[Any]:
    """work(number) for each of the numbers, in their order, with progress; those finished before are not done again.

    `work` returns what JSON can hold and depends on its number only. Results are appended to `.<name>.kept` beside
    `output` and must be dropped with `forget` when the output is written. JSON keeps every digit, so that a run which
    was killed ends with the same bytes as one that was not.
    """
    kept = kept_file(output)
    kept.parent.mkdir(parents=True, exist_ok=True)
    done = finished(kept, key)
    # written anew: a torn line, or another key's results, are gone
    start = kept.with_name(kept.name + ".start")
    start.write_text("\n".join([key, *(json.dumps([number, value]) for number, value in done.items()), ""]))
    start.replace(kept)
    left = [number for number in numbers if number not in done]
    if done:
        what = f"{what} ({len(numbers) - len(left)} were done before)"
    with kept.open("a") as file:
        for number in progress(left, len(left), what):
            # read back at once, so that a resumed run and another one hold the very same values
            line = json.dumps([number, work(number)])
            done[number] = json.loads(line)[1]
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
    return [done[number] for number in numbers]


def forget(output: str | Path) -> None:
    """Remove what was kept: the output is complete."""
    kept_file(output).unlink(missing_ok=True)


def kept_file(output: str | Path) -> Path:
    return Path(output).with_name(f".{Path(output).name}.kept")
