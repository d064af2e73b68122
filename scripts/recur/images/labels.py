"""What the manifest's mask_label and liver_label mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from unicodedata import normalize

from recur.tables import StudyError

PATTERN = "pattern:"
LISTED = 12  # labels named in one message


def choose(
    label: str, names: Mapping[int, str], file: str, what: str, shown: Mapping[int, str] | None = None
) -> list[int]:
    """The numbers that a label stands for: blank for the only one there is, a name, a number, or several.

    names: as the file stores them, which is how they are compared; shown: as they may be printed (without words that
    identify the patient), where that is not the same. A number that is printed without a name is asked for by number.

    Several are joined by `;` (or numbers by `,`), or found by `pattern:` and a regular expression for the whole name.
    A name wins over a number. Raises StudyError, listing what is there.
    """
    label = normalize("NFC", label)  # ä is one sign or two, by the program that wrote it
    names = {number: normalize("NFC", name) for number, name in names.items()}
    listed = [f"{n} {name}".strip() for n, name in (shown or names).items()]
    more = f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    present = ", ".join(listed[:LISTED]) + more or "none"
    if not label:
        if len(names) == 1:
            return list(names)
        raise StudyError(f"{file}: the {what} is not stated and there are {len(names)}: {present}; state it")
    if label.startswith(PATTERN):
        try:
            pattern = re.compile(label.removeprefix(PATTERN).strip(), re.IGNORECASE)
        except re.error as error:
            raise StudyError(f"{file}: {what} {label!r} is not a regular expression ({error})") from None
        chosen = [n for n, name in names.items() if pattern.fullmatch(name)]
        if not chosen:
            raise StudyError(f"{file}: {what} {label!r} fits nothing there; present: {present}")
        return chosen
    if label in names.values() or not re.search("[;,]", label):
        return [_one(label, names, file, what, present)]
    terms = [term.strip() for term in label.split(";" if ";" in label else ",")]
    return [_one(term, names, file, what, present) for term in terms if term]


def _one(term: str, names: Mapping[int, str], file: str, what: str, present: str) -> int:
    named = [n for n, name in names.items() if name and name == term]
    if len(named) == 1:
        return named[0]
    if not named and term.isdigit() and int(term) in names:
        return int(term)
    problem = f"{len(named)} times" if named else "not"
    raise StudyError(f"{file}: {what} {term!r} is {problem} there; present: {present}")
