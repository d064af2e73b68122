"""What the workflow promises of its frozen files: schemas/model.schema.yaml, schemas/signature.schema.yaml."""

from __future__ import annotations

import functools
import textwrap
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from recur.tables import StudyError, read_sealed

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
LONGEST_LINE = 200  # characters of what a schema says of a value, which may be a whole covariance


@functools.cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(yaml.safe_load((SCHEMAS / f"{name}.schema.yaml").read_text(encoding="utf-8")))


def problems_of_frozen(value: Any, name: str) -> list[str]:
    """What of a frozen model or signature (name: model, signature) is not as its schema has it, a line each with the
    place: `terms[1].coef: 'x' is not of type 'number'`.
    """
    errors = sorted(_validator(name).iter_errors(value), key=lambda error: [str(part) for part in error.absolute_path])
    lines = []
    for error in errors:
        place = error.json_path.removeprefix("$").removeprefix(".")
        message = textwrap.shorten(error.message, LONGEST_LINE, placeholder=" ...")
        lines.append(f"{place}: {message}" if place else message)
    return lines


def read_contracted(path: str | Path, name: str) -> dict[str, Any]:
    """A frozen model or signature from elsewhere, checked against its schema (name: model, signature).

    Raises StudyError, in one line, for a file that is damaged, was edited since it was frozen, or is not as the schema
    has it, with what is wrong first and where.
    """
    value, intact = read_sealed(path)
    problems = problems_of_frozen(value, name)
    first = f": {problems[0]}" if problems else ""
    if not intact:
        raise StudyError(f"{path}: was edited after it was frozen{first}; use the file that the study wrote")
    if problems:
        raise StudyError(f"{path}: not a {name} of this version of the workflow{first}")
    return value
