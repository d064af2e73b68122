"""Which files of this project the result of a program depends on: one reading of its imports for rules, caches and
interrupted jobs alike.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # the project's folder
SCRIPTS = ROOT / "scripts"
OWN = ("recur", "figures")  # packages of this project in scripts/


def closure(*files: str | Path, within: str | Path | None = None) -> list[Path]:
    """The given source files and every file of the project that they use, directly or not, in the order of their paths.

    Followed are imports at every depth of a file, those inside of functions as well, and the names of files beside a
    module or in its folder `templates` (a page's template, and the template that it extends). With `within`, only what
    lies in that folder: an edit elsewhere leaves the keys of its cache alone. Raises SyntaxError where it is no Python.
    """
    found: set[Path] = set()
    waiting = [Path(file).resolve() for file in files]
    while waiting:
        file = waiting.pop()
        if file in found or not _is_within(file, within):
            continue
        found.add(file)
        if file.suffix in (".py", ".ipynb", ".html"):
            waiting += _used(file, _state(file))
    return sorted(found)


def third_party(*files: str | Path) -> set[str]:
    """Top-level names of all modules outside the project that the files import, directly or through it."""
    sources = [file for file in closure(*files) if file.suffix in (".py", ".ipynb")]
    tops = {module.split(".")[0] for file in sources for module in _imported(file, _code(file))}
    return tops - set(OWN)


def checksums(files: Iterable[Path]) -> list[tuple[str, str]]:
    """(SHA-256, path below scripts/ or as it is) of each file."""
    return [(_sha256(file, _state(file)), _short(file)) for file in files]


@cache
def _sha256(file: Path, state: tuple[int, int]) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _short(file: Path) -> str:
    return file.relative_to(SCRIPTS).as_posix() if file.is_relative_to(SCRIPTS) else file.as_posix()


def _is_within(file: Path, folder: str | Path | None) -> bool:
    return folder is None or file.is_relative_to(Path(folder).resolve())


def _state(file: Path) -> tuple[int, int]:
    """What changes when a file is edited."""
    stat = file.stat()
    return stat.st_mtime_ns, stat.st_size


@cache
def _used(file: Path, state: tuple[int, int]) -> list[Path]:
    """The project's files that one file names."""
    text = _code(file)
    if file.suffix == ".html":
        return _beside(file, text)
    modules = [path for module in _imported(file, text) for path in _files_of(module)]
    return [*modules, *_beside(file, text)]


def _code(file: Path) -> str:
    """Text of a program, or of all code cells of a notebook."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".ipynb":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    return "\n".join("".join(cell["source"]) for cell in cells)


def _imported(file: Path, text: str) -> Iterator[str]:
    """Full names of the modules that a file imports; of `from a import b` both a and a.b, for b may be a module."""
    for statement in _statements(ast.parse(text, str(file)).body):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            base = _absolute(file, statement)
            yield base
            yield from (f"{base}.{alias.name}" for alias in statement.names)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements at every depth; expressions, most of a file's nodes, hold none."""
    for statement in body:
        yield statement
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _statements(getattr(statement, part, []))


def _absolute(file: Path, statement: ast.ImportFrom) -> str:
    package: tuple[str, ...] = ()
    if statement.level:
        package = file.relative_to(SCRIPTS).parts[: -statement.level]
    return ".".join([*package, *filter(None, [statement.module])])


def _files_of(module: str) -> list[Path]:
    """The file of one of the project's modules and the packages that it lies in; none of another library's."""
    parts = module.split(".")
    if parts[0] not in OWN:
        return []
    packages = [SCRIPTS.joinpath(*parts[:n], "__init__.py") for n in range(1, len(parts) + 1)]
    return [path for path in (*packages, SCRIPTS.joinpath(*parts).with_suffix(".py")) if path.is_file()]


def _beside(file: Path, text: str) -> list[Path]:
    """Templates and the like that a file names in double quotes: beside it, or in the folder `templates` beside it."""
    return [path for path in _templates(file.parent) if f'"{path.name}"' in text]


@cache
def _templates(folder: Path) -> list[Path]:
    places = [folder, *filter(Path.is_dir, [folder / "templates"])]
    files = [path for place in places for path in sorted(place.iterdir()) if path.is_file()]
    return [path for path in files if path.suffix not in (".py", ".ipynb")]
