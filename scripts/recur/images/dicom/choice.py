"""Which volume of a DICOM folder the manifest's column `series` means."""

from __future__ import annotations

import re

import numpy as np

from recur.images.acquisition import clean_text, identifying_words, number
from recur.images.dicom.parts import along_normal, parts_of, start_of
from recur.images.dicom.series import Series, check_whole
from recur.images.dicom.slices import MARKS, Slice, open_dicom
from recur.images.flags import flag
from recur.images.grid import DIRECTION_TOLERANCE, LATTICE_TOLERANCE
from recur.tables import StudyError

PHASE_WORDS = (  # a word of one line finds a series whose description has any word of that line
    {"native", "nativ", "plain", "unenhanced", "noncontrast", "nc", "ncct", "pre", "precontrast", "without"},
    {"arterial", "arteriel", "arterielle", "arteriell", "art", "ap", "hap"},
    {"portal", "portalvenous", "portovenous", "venous", "ven", "venoes", "pv", "pvp", "hvp", "porto"},
    {"delayed", "delay", "delayphase", "equilibrium", "ep", "dp", "tardive", "tardif"},
    {"hepatobiliary", "hbp"},
)
CHOOSERS = ("uid", "description", "number", "phase", "time", "part", *MARKS)
BETWEEN_TERMS = re.compile(rf";|,(?=\s*(?:{'|'.join(CHOOSERS)})\s*:)")
LISTED = 12  # series named in one message


def parse_choice(choice: str | None, name: str) -> list[tuple[str, str]]:
    """[(chooser, value), ...] of the manifest's column series; raises StudyError."""
    terms = []
    for text in filter(None, (part.strip() for part in BETWEEN_TERMS.split(choice or ""))):
        kind, colon, value = text.partition(":")
        kind, value = kind.strip().lower(), value.strip()
        if kind not in CHOOSERS or not colon or not value:
            known = ", ".join(f"{k}:..." for k in CHOOSERS)
            raise StudyError(f"{name}: series {text!r} is not understood; use {known}")
        if kind in ("time", "part") and not (value.isdigit() and int(value)):
            raise StudyError(f"{name}: series {text!r}: a number from 1 is needed")
        if kind == "description":
            try:
                re.compile(value)
            except re.error as error:
                raise StudyError(f"{name}: series {text!r} is not a regular expression ({error})") from None
        terms.append((kind, value))
    return terms


def chosen_volume(
    in_folder: list[Series], terms: list[tuple[str, str]], name: str
) -> tuple[Series, list[Slice], list[str]]:
    """The series and the slices of the one volume meant, and remarks.

    in_folder: all series of the folder; terms: as parse_choice gives them; name: of the folder, for messages. Raises
    StudyError, listing what is there, where no volume or more than one is meant.
    """
    left = [s for s in in_folder if s.slices or s.damaged]
    said = "; ".join(f"{kind}:{value}" for kind, value in terms)
    if not left:
        raise StudyError(f"{name}: only localizers in this folder")
    for kind, value in terms:
        if kind not in ("time", "part", *MARKS):
            left = [s for s in left if _fits(s, kind, value)]
    if not left:
        raise StudyError(f"{name}: no series is {said}; there are: {_listing(in_folder)}")
    volumes = []
    lone = {}
    notes = {}
    for series in left:
        parts, notes[series.uid] = parts_of(series.slices, name)
        lone[series.uid] = sum(len(p) == 1 for p in parts)
        volumes += [(series, slices) for slices in parts if len(slices) > 1]
    volumes = [volume for volume in volumes if _marked(volume, volumes, terms)]
    if not volumes:
        check_whole(left, name)
        if not terms:
            raise _one_slice_each(left, name)
        raise StudyError(f"{name}: no series is {said}; there are: {_listing(in_folder, _all_volumes(left, name))}")
    nth, part = (next((int(value) for k, value in terms if k == kind), None) for kind in ("time", "part"))
    if nth:
        times = sorted({start_of(slices) for _, slices in volumes} - {None})
        if nth > len(times):
            raise StudyError(f"{name}: series {said}: {len(times)} acquisitions with a time there: {_listing(left)}")
        volumes = [v for v in volumes if start_of(v[1]) == times[nth - 1]]
    if part:
        by_series = [[v for v in volumes if v[0].uid == series.uid] for series in left]
        volumes = [volume for those in by_series for volume in those[part - 1 : part]]
        if not volumes:
            raise StudyError(f"{name}: no series is {said}; there are: {_listing(in_folder, _all_volumes(left, name))}")
    if len(volumes) > 1:
        hint = f"series {said!r} fits" if said else "the image manifest's column series must choose one of"
        raise StudyError(f"{name}: {hint} {len(volumes)} volumes: {_listing(in_folder, volumes)}")
    series, slices = volumes[0]
    check_whole([series], name)
    dropped = series.localizers + lone[series.uid]
    return series, slices, [*notes[series.uid], *_left_out(series, slices, dropped, in_folder)]


def _one_slice_each(series: list[Series], name: str) -> StudyError:
    """What is said of a folder without a volume where nothing was to be chosen."""
    if len(series) > 2:
        return StudyError(
            f"{name}: {len(series)} series of one slice each: an anonymiser or a copy gave every slice a series UID "
            "of its own; export the series again"
        )
    return StudyError(f"{name}: one slice only, a volume is needed")


def _left_out(series: Series, slices: list[Slice], dropped: int, in_folder: list[Series]) -> list[str]:
    """Remarks on what is not in the volume of a series: localizers, other kinds of files, slices that were lost."""
    flags = []
    if dropped:
        flags.append(f"{dropped} localizer slices left out")
    if series.other_kinds:
        flags.append(f"{series.other_kinds} files of this series are no CT or MR images and were left out")
    single = [one for one in in_folder if one.uid != series.uid and len(one.slices) == 1]
    strays = sum(_continues(one.slices[0], slices) for one in single)
    if strays:
        flags.append(flag("short", f"{strays} slices of another series UID continue this stack and were left out"))
    if series.announced and len(slices) < series.announced and not dropped and len(slices) == len(series.slices):
        flags.append(flag("short", f"{len(slices)} of the acquisition's {series.announced} slices are here"))
    return flags


def _all_volumes(series: list[Series], name: str) -> list[tuple[Series, list[Slice]]]:
    return [(one, part) for one in series for part in parts_of(one.slices, name)[0] if part]


def _marked(
    volume: tuple[Series, list[Slice]], volumes: list[tuple[Series, list[Slice]]], terms: list[tuple[str, str]]
) -> bool:
    """Whether a volume has the marks that the terms ask for."""
    for kind, value in terms:
        if kind not in MARKS:
            continue
        marks = {one.marks[MARKS[kind]] for one in volume[1]}
        if kind == "type":
            known = {word.lower() for mark in marks for word in mark.split()}
            fits = value.lower() in known
        else:
            fits = any(mark == value or (number(mark) is not None and number(mark) == number(value)) for mark in marks)
        if kind == "echo" and not fits and value.isdigit():
            echoes = sorted({number(one.marks[MARKS[kind]]) or 0 for _, slices in volumes for one in slices})
            place = int(value) - 1
            fits = 0 <= place < len(echoes) and any((number(mark) or 0) == echoes[place] for mark in marks)
        if not fits:
            return False
    return True


def _continues(one: Slice, slices: list[Slice]) -> bool:
    """Whether a lone slice is the next one of a stack, before or behind it: an anonymiser may have lost it."""
    shapes = [np.array([*s.cosines, *s.pixel, *s.size]) for s in (one, slices[0])]
    if np.abs(shapes[0] - shapes[1]).max() > DIRECTION_TOLERANCE * 10:
        return False
    place, *along = along_normal([slices[0], one, *slices])[1:]
    along = np.sort(along)
    step = (along[-1] - along[0]) / (len(along) - 1)
    ends = np.abs(np.array([along[0] - step, along[-1] + step]) - place)
    return bool(ends.min() <= LATTICE_TOLERANCE * step)


def _fits(series: Series, kind: str, value: str) -> bool:
    if kind == "uid":
        return series.uid == value
    if kind == "number":
        return series.number == value
    if kind == "description":
        return re.search(value, series.description, re.IGNORECASE) is not None
    words = set(re.findall(r"[^\W\d_]+", series.description.lower()))
    return bool(words & next((line for line in PHASE_WORDS if value.lower() in line), {value.lower()}))


def _listing(in_folder: list[Series], volumes: list[tuple[Series, list[Slice]]] | None = None) -> str:
    """The series (or volumes) for a message: number, description, slices, seconds after the first."""
    shown = volumes or [(s, s.slices) for s in in_folder]
    starts = [start_of(s.slices) for s in in_folder]
    zero = min((t for t in starts if t is not None), default=None)
    texts = []
    for series, slices in shown[:LISTED]:
        same = [v for v in shown if v[0].uid == series.uid]
        part = f" part {same.index((series, slices)) + 1}" if len(same) > 1 else ""
        start = start_of(slices)
        when = "" if start is None or zero is None else f", +{start - zero:.0f} s"
        title = _title(series)
        told = _told_apart(slices, [v[1] for v in same])
        texts.append(f"{series.number or '-'} {title!r}{part} ({len(slices)} slices{when}{told})")
    more = f"; and {len(shown) - LISTED} more" if len(shown) > LISTED else ""
    return "; ".join(texts) + more


def _told_apart(slices: list[Slice], volumes: list[list[Slice]]) -> str:
    """The marks in which a volume of a series differs from the others, for a message."""
    told = []
    for name, place in MARKS.items():
        values = [sorted({one.marks[place] for one in volume}) for volume in volumes]
        stated = sorted({one.marks[place] for one in slices})
        if len(stated) == 1 and any(value != stated for value in values):
            told.append(f", {name} {clean_text(stated[0], ()) or 'none'}")
    return "".join(told)


def _title(series: Series) -> str:
    """The series' description without words that identify the patient."""
    if not series.slices:
        return ""
    header = open_dicom(series.slices[0].path)
    return clean_text(series.description, identifying_words(header))
