"""What people have noted about masks on the page of the images: a CSV that the page saves and the next run reads."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from recur.tables import FORMULA, PATIENT_ID, Problem, StudyError, first_of, grouped, read_table

KEY = ["patient_id", "phase", "reader"]
HASHES = ["mask_hash", "image_hash"]
COLUMNS = [*KEY, "verdict", "note", *HASHES]
SEEN, REDRAW = "seen", "redraw"
WORD = re.compile(r"[A-Za-z0-9]{1,64}")
HASH = re.compile(r"[0-9a-f]{64}|")
LONGEST = 1000  # characters of a note


def read_review(path: str | Path) -> pd.DataFrame:
    """The notes, a row a mask (COLUMNS, text, blanks as ""); StudyError with every problem.

    verdict: seen, redraw or blank (a note only); mask_hash and image_hash say which voxels were looked at, blank where
    the case was excluded.
    """
    table = read_table(path)
    lacking = [name for name in COLUMNS if name not in table]
    if lacking:
        raise StudyError(
            f"{path}: no column {', '.join(lacking)} (images.review); save the notes from images/qc/index.html"
        )
    table = table[COLUMNS].astype("string").fillna("").apply(lambda cells: cells.str.strip()).astype(object)
    table["note"] = [_without_guard(note) for note in table["note"]]
    problems = [problem for line, row in table.iterrows() for problem in _row_problems(row, line + 2)]
    if not problems:
        twice = table[table.duplicated(KEY, keep=False)]
        text = "{} stands there twice; keep one of its lines"
        problems = [
            Problem(row.patient_id, text, (f"{row.phase} of {row.reader}",), line + 2) for line, row in twice.iterrows()
        ]
    if problems:
        raise StudyError(grouped(problems, path))
    return table.reset_index(drop=True)


def _row_problems(row: pd.Series, line: int) -> list[Problem]:
    problems = []
    if not PATIENT_ID.fullmatch(row.patient_id):
        problems.append(Problem(None, "column patient_id: {} is no id of a patient", (row.patient_id,), line))
    problems += [
        Problem(None, f"column {name}: {{}} is no word of letters and digits", (row[name],), line)
        for name in ("phase", "reader")
        if not WORD.fullmatch(row[name])
    ]
    if row.verdict not in (SEEN, REDRAW, ""):
        problems.append(Problem(None, f"column verdict: {{}} is neither {SEEN} nor {REDRAW}", (row.verdict,), line))
    if len(row.note) > LONGEST:
        text = f"column note: {{}} characters, {LONGEST} at most"
        problems.append(Problem(None, text, (len(row.note),), line))
    return problems + [
        Problem(
            None,
            f"column {name}: {{}} is no hash as the page writes it, nor blank",
            (row[name],),
            line,
        )
        for name in HASHES
        if not HASH.fullmatch(row[name])
    ]


def _without_guard(note: str) -> str:
    """A note without the apostrophe that keeps a spreadsheet from taking it for a formula."""
    return note[1:] if note.startswith("'") and FORMULA.match(note.lstrip("'")) else note


def reviewed(cases: pd.DataFrame, review: pd.DataFrame) -> pd.DataFrame:
    """The cases with the columns verdict, note, noted_mask, noted_image ("" where nobody noted anything) and outdated.

    A note is out of date where mask or image have other voxels than when it was written.
    """
    noted = review.set_index(KEY).reindex(pd.MultiIndex.from_frame(cases[KEY])).fillna("").reset_index(drop=True)
    names = {"mask_hash": "noted_mask", "image_hash": "noted_image"}
    table = pd.concat([cases.reset_index(drop=True), noted.rename(columns=names)], axis=1)
    now = cases.reindex(columns=HASHES).astype(object).fillna("").reset_index(drop=True)
    written = (noted["verdict"] != "") | (noted["note"] != "")
    other_mask, other_image = (noted[name] != now[name] for name in HASHES)
    # a mask that is still the old one, or may be, has to be redrawn, whatever became of the image
    redraw = noted["verdict"] == REDRAW
    table["outdated"] = written & ~redraw & (other_mask | other_image)
    table["outdated"] |= redraw & other_mask & (noted["mask_hash"] != "")
    return table


def strangers(review: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """The notes on what is no case of this study."""
    known = pd.MultiIndex.from_frame(cases[KEY])
    return review[~pd.MultiIndex.from_frame(review[KEY]).isin(known)]


def strangers_line(lost: pd.DataFrame) -> str:
    """One line on the notes that belong to no case."""
    return f"{counted(lost)} on no mask of this study ({named(lost)}); kept when notes are saved, shown nowhere"


def review_notes(path: str | Path, manifest: pd.DataFrame | None) -> list[str]:
    """What `check` says of the notes: masks to redraw, and notes on no row of the manifest (None: not made yet).

    Raises StudyError where the notes cannot be read.
    """
    review = read_review(path)
    lines = []
    lost = review[:0] if manifest is None else strangers(review, manifest)
    if len(lost):
        lines.append(f"{path}: {strangers_line(lost)}")
    redraw = review[review["verdict"] == REDRAW]
    if len(redraw):
        lines.append(
            f"{path}: {counted(redraw)} {REDRAW!r} ({named(redraw)}): those masks are analysed as they are until they "
            "are redrawn, or until their rows leave the image manifest"
        )
    return lines


def counted(notes: pd.DataFrame) -> str:
    return "1 note is" if len(notes) == 1 else f"{len(notes)} notes are"


def named(notes: pd.DataFrame) -> str:
    """The first of the masks that notes are on."""
    return first_of([" ".join(row) for row in notes[KEY].itertuples(index=False)])
