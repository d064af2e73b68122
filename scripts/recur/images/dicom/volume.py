"""From the slices of a series to one volume: their order, their gaps, the grid they lie on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from recur.images.acquisition import acquisition, clean_text, examination, identifying_words, series_hash
from recur.images.dicom.choice import chosen_volume, parse_choice
from recur.images.dicom.parts import along_normal, start_of
from recur.images.dicom.pixels import pixels
from recur.images.dicom.series import Series, scanned
from recur.images.dicom.slices import DICOM_ERRORS, OWNER, Slice, file_state, open_dicom
from recur.images.flags import flag
from recur.images.grid import LATTICE_TOLERANCE, Grid, Stack, Volume, even_out, unshear
from recur.tables import StudyError

SWAPPED = 0.3  # share of the steps between slices


def read_series(folder: Path, choice: str | None = None, nonuniform: str = "refuse") -> Volume:
    """Read one volume of a DICOM folder (all levels) or of one multi-frame file.

    `choice` as in the manifest's column series: terms `uid:`, `description:` (regular expression), `number:`,
    `phase:` (a word or a synonym), `time:` (1 for the earliest left), `part:` (of a series that holds several volumes,
    as messages number them), and what tells such volumes apart: `temporal:`, `acquisition:`, `b:`, `stack:` (as the
    header has it), `type:` (a word of the image type), `echo:` (1 for the shortest, or the time itself); joined by `;`,
    each narrowing down; empty for the only one.
    `nonuniform`: "resample" puts slices at uneven distances on even ones by linear interpolation; default "refuse".
    A gantry tilt is taken out by shearing. Raises StudyError, listing what is there where the choice is ambiguous.
    """
    terms = parse_choice(choice, folder.name)
    try:
        in_folder = scanned(folder, file_state(folder))
        series, slices, flags = chosen_volume(in_folder, terms, folder.name)
        return _build(series, slices, flags, in_folder, folder.name, nonuniform)
    except DICOM_ERRORS as error:
        cause = f"damaged or incomplete DICOM headers ({type(error).__name__})"
        raise StudyError(f"{folder.name}: {cause}; copy the series again") from None


def _build(
    series: Series, slices: list[Slice], flags: list[str], in_folder: list[Series], name: str, nonuniform: str
) -> Volume:
    flags = [*flags, *_check_scaling(slices, name), *_check_owner(slices, name)]
    slices, grid, shear, even, notes = _stack(slices, name, nonuniform)
    notes += _out_of_turn(slices)
    voxels = np.empty(grid.size[::-1], dtype=np.float32)
    order = sorted(range(len(slices)), key=lambda k: (str(slices[k].path), slices[k].frame or 0))  # file by file
    for k, plane in zip(order, pixels((slices[k] for k in order), name), strict=True):
        voxels[k] = plane * slices[k].slope + slices[k].intercept
    stack = None
    if not even or shear is not None:
        along = along_normal(slices)
        stack = Stack(grid, None if even else along - along[0], shear)
    if not even:
        voxels = even_out(voxels, stack.along)
    if shear is not None:
        voxels, grid = unshear(voxels, grid, shear)
    starts = [t for t in (start_of(s.slices) for s in in_folder) if t is not None]
    start = start_of(slices)
    header = open_dicom(slices[len(slices) // 2].path)
    made = acquisition(header)
    if made["lossy_compression"] == "yes":
        notes.append(flag("lossy", "lossy compressed"))
    facts = {
        "series_number": series.number or None,
        "series_description": clean_text(series.description, identifying_words(header)) or None,
        "series_time_s": start - min(starts) if start is not None else None,
        "series_hash": series_hash(series.uid),
        "acquisition": made,
        "exam": examination(header, start),
    }
    about = {"series": series.uid, "frame": series.frame, "patient": series.patient}
    about |= {"flags": (*flags, *notes), "facts": facts, "sheared": shear is not None, "stack": stack}
    return Volume(voxels, grid, "dicom", **about)


def _check_owner(slices: list[Slice], name: str) -> list[str]:
    """Remarks on slices that came from elsewhere, by what they state; StudyError where that is another patient."""
    flags = []
    for place, what in enumerate(OWNER.values()):
        stated = Counter(one.owner[place] for one in slices if one.owner[place])
        if len(stated) < 2:
            continue
        strange = sum(stated.values()) - max(stated.values())
        if what == "patient":
            raise StudyError(f"{name}: {strange} of {len(slices)} slices are of another patient; copy the series again")
        flags.append(flag("apart", f"{strange} of {len(slices)} slices state another {what} than the rest"))
    return flags


def _out_of_turn(slices: list[Slice]) -> list[str]:
    """A remark on slices (in order along the stack) of which a few have numbers against the order: positions swapped.

    Numbers that follow no order (of several volumes, or given by an archive) say nothing.
    """
    numbers = [one.instance for one in slices]
    if None in numbers or len(set(numbers)) < len(numbers):
        return []
    steps = np.sign(np.diff(numbers))
    against = int(min((steps > 0).sum(), (steps < 0).sum()))
    if not 0 < against <= SWAPPED * len(steps):
        return []
    return [flag("apart", f"{against} slices are numbered against their positions: are two of them swapped?")]


def _check_scaling(slices: list[Slice], name: str) -> list[str]:
    """Slices without a rescale intercept among others with one would be off by it; CTs are rescaled in one way."""
    without = [one for one in slices if not one.rescaled]
    intercepts = sorted({one.intercept for one in slices if one.rescaled and one.intercept})
    if without and intercepts:
        raise StudyError(
            f"{name}: {len(without)} of {len(slices)} slices ({without[0].where} first) have no rescale intercept, "
            f"the others {intercepts[0]:g}; copy the series again"
        )
    ways = Counter((one.slope, one.intercept) for one in slices if one.ct)
    if len(ways) < 2:
        return []
    odd = sum(ways.values()) - max(ways.values())
    text = f"{odd} of {len(slices)} slices are rescaled otherwise than the rest: are they of this scan?"
    return [flag("not_hu", text)]


def _stack(
    slices: list[Slice], name: str, nonuniform: str
) -> tuple[list[Slice], Grid, np.ndarray | None, bool, list[str]]:
    """Slices in order along their normal, their grid, sideways mm per slice if tilted, whether even, remarks."""
    row, column = np.reshape(slices[0].cosines, (2, 3))
    normal = np.cross(row, column)
    along = along_normal(slices)
    order = np.argsort(along, kind="stable")
    slices = [slices[i] for i in order]
    along = along[order]
    gaps = np.diff(along)
    if gaps.min() <= 0.01:
        twice = int((gaps <= 0.01).sum())
        where = int(np.argmin(gaps)) + 1
        raise StudyError(
            f"{name}: {twice} slices share a position with another slice of other content (first at slice {where}) and "
            "nothing in the headers tells them apart; keep one volume"
        )
    step = (along[-1] - along[0]) / (len(slices) - 1)
    flags: list[str] = []
    even = _check_gaps(along, gaps, step, name, nonuniform)
    if not even:
        distances = f"({gaps.min():.3g} to {gaps.max():.3g} mm) resampled to {step:.3g} mm"
        flags.append(flag("adapted", f"uneven slice distances {distances}"))
    positions = np.array([s.position for s in slices])
    first = positions[0]
    sideways = positions - (first + np.outer(along - along[0], normal))
    per_mm = np.linalg.lstsq((along - along[0])[:, None], sideways, rcond=None)[0][0]
    shear = None
    tolerance = LATTICE_TOLERANCE * min(slices[0].pixel)
    if np.abs(sideways).max() > tolerance:
        uneven = np.abs(sideways - np.outer(along - along[0], per_mm)).max()
        if uneven > 5 * tolerance:
            raise StudyError(
                f"{name}: slices are shifted against each other by {np.abs(sideways).max():.1f} mm and not as by a "
                "gantry tilt; resample the series first"
            )
        if not even:
            raise StudyError(f"{name}: slices are tilted and unevenly spaced; resample the series first")
        shear = np.array([per_mm @ row, per_mm @ column]) * step
        angle = np.degrees(np.arctan(np.linalg.norm(per_mm)))
        flags.append(flag("adapted", f"gantry tilt of {angle:.1f} degrees taken out by shearing"))
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row
    column /= np.linalg.norm(column)
    direction = tuple(np.column_stack([row, column, np.cross(row, column)]).ravel().tolist())
    between_rows, between_columns = slices[0].pixel
    size = (*slices[0].size, len(slices))
    spacing = (between_columns, between_rows, float(step))
    return slices, Grid(size, spacing, tuple(first.tolist()), direction), shear, even, flags


def _check_gaps(along: np.ndarray, gaps: np.ndarray, step: float, name: str, nonuniform: str) -> bool:
    """Whether slices are evenly spaced; raises StudyError, saying where not.

    Evenly: each slice within a tenth of a step, or 2 % and the twentieth of a mm to which headers round, of its place.
    A slice is missing where few gaps are whole multiples of all the others; that is never resampled.
    """
    if np.ptp(along - step * np.arange(len(along))) / 2 <= min(LATTICE_TOLERANCE * step, 0.02 * step + 0.05):
        return True
    usual = float(np.median(gaps))
    times = gaps / usual
    wide = np.flatnonzero(times > 1.5)
    multiples = np.abs(times - np.maximum(np.round(times), 1)).max() < 0.1
    at = int(np.argmax(np.abs(gaps - usual)))
    place = f"{gaps[at]:.3f} mm after slice {at + 1} of {len(along)}, {usual:.3f} mm elsewhere"
    if multiples and len(wide) and len(wide) <= max(3, len(gaps) // 10):
        missing = int(np.round(times[wide]).sum() - len(wide))
        raise StudyError(f"{name}: {missing} slices missing: {place}; complete the series")
    if nonuniform == "resample":
        return False
    raise StudyError(
        f"{name}: slice spacing is not uniform: {place}; complete the series, or images.nonuniform: resample"
    )
