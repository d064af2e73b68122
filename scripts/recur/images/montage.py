"""The pictures to look at before any feature is believed: per patient a montage of phases x regions, and a thumbnail.

Pillow draws a patient in some hundredths of a second, a plotting library in half a second. Contours run along the
edges of the voxels, so that they show what is measured and not a smoothed version of it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from recur.images.case_file import TUMOUR, Case
from recur.tables import whole_file

PANEL, GAP, LINE, THUMBNAIL = 270, 4, 17, 112  # pixels
MARGIN_MM = 8.0  # tissue shown around a region
HU_WINDOW = (-50.0, 200.0)  # level 75, width 250: enhanced liver
PAPER, INK, NOTHING, ALARM = (255, 255, 255), (0, 0, 0), (38, 42, 54), (178, 24, 43)
# Okabe-Ito colours, distinct in every form of colour blindness and told apart by their panel without colour
COLOURS = {"tumour": (230, 110, 0), "rim": (86, 180, 233), "liver": (240, 228, 66)}
MORE_COLOURS = [(0, 178, 130), (224, 141, 187), (255, 255, 255), (153, 153, 255)]
PLANES = {0: "axial", 1: "coronal", 2: "sagittal"}  # by the normal: array axis of superior, posterior, left
LETTERS = {0: "RLAP", 1: "RLSI", 2: "APSI"}  # left, right, top, bottom of a picture of that plane


class Reading(NamedTuple):
    """One reader's case in one phase: `case` is None where nothing can be drawn, `note` says what it is or why not."""

    reader: str
    case: Case | None
    note: str
    excluded: bool = False


class View(NamedTuple):
    """A case turned to the patient: arrays (superior, posterior, left), spacing (3,) mm in that order.

    `image` and `bits` are those of the first reading with a case, number `base`; `labels` has one array per reading,
    None where it has no case on that lattice. `slices` is the axis of the acquired slices; `first`, `flipped`, `total`
    number them as the whole image does; `low`, `high` is the grey scale.
    """

    base: int
    bits: dict[str, int]
    image: np.ndarray
    labels: list[np.ndarray | None]
    spacing: np.ndarray
    slices: int
    low: float
    high: float
    first: int
    flipped: bool
    total: int


class Shown(NamedTuple):
    """What a panel shows of a view: the slice across `normal` where `region` is largest, around `field`."""

    normal: int  # axis
    region: np.ndarray
    field: np.ndarray
    bits: dict[str, int]  # of the regions that are drawn


def draw_montage(patient_id: str, phases: Mapping[str, Sequence[Reading]], synthetic: bool = False) -> Image.Image:
    """A row per phase: an overview, a close-up of each region on the slice of its largest extent, a cross-section.

    The first reading that has a case gives the picture; the contours of the others on its lattice are dashed.
    Deterministic pixels; shows nothing of a patient but the study's id.
    """
    drawn = [reading.case for readings in phases.values() for reading in readings if reading.case]
    colours = _colours(drawn)
    regions = [name for name in colours if name != "liver"]
    width = max((len(regions) + 2) * (PANEL + GAP) + GAP, 640)
    rows = [_row(phase, readings, regions, colours, width) for phase, readings in phases.items()]
    header = _header(patient_id, colours, _dashed(phases), _scales(drawn), synthetic, width)
    picture = Image.new("RGB", (width, header.height + sum(row.height for row in rows)), PAPER)
    top = 0
    for part in (header, *rows):
        picture.paste(part, (0, top))
        top += part.height
    return picture


def draw_thumbnail(readings: Sequence[Reading]) -> Image.Image | None:
    """The tumour of one phase, small, axial and coronal, with every contour; None where there is nothing to draw."""
    view = view_of(readings)
    if view is None:
        return None
    colours = _colours([readings[view.base].case])
    picture = Image.new("RGB", (2 * THUMBNAIL + GAP, THUMBNAIL), PAPER)
    for i, normal in enumerate((0, 1)):
        field = _regions(view)
        shown = Shown(normal, _region(view, "tumour"), field, view.bits)
        panel = _panel(view, shown, colours, THUMBNAIL)[0]
        picture.paste(panel, (i * (THUMBNAIL + GAP), 0))
    return picture


def overlap(first: Case, second: Case) -> float | None:
    """Dice coefficient of the tumours of two readers, or None where their images have different lattices."""
    labels = _on_lattice(second, first)
    if labels is None:
        return None
    a, b = (first.labels & TUMOUR) > 0, (labels & TUMOUR) > 0
    voxels = int(a.sum()) + int(((second.labels & TUMOUR) > 0).sum())  # all of them, also outside the first one's box
    return 2 * float((a & b).sum()) / voxels


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write PNG or JPEG, by suffix, under a temporary name first."""
    with whole_file(path) as partial:
        if path.suffix == ".jpg":
            picture.save(partial, format="JPEG", quality=80, subsampling=0)
        else:
            picture.save(partial, format="PNG", compress_level=2)


# parts of the montage


def _header(
    patient_id: str, colours: Mapping[str, tuple], dashed: list[str], scales: str, synthetic: bool, width: int
) -> Image.Image:
    font, large = ImageFont.load_default(size=12), ImageFont.load_default(size=17)
    title = textwrap.wrap(patient_id, width // 12) or [""]
    part = Image.new("RGB", (width, 24 * len(title) + LINE + 6), PAPER)
    draw = ImageDraw.Draw(part)
    for i, line in enumerate(title):
        draw.text((GAP, 3 + 24 * i), line, fill=INK, font=large)
    if synthetic:
        draw.text((width - GAP, 5), "SYNTHETIC DATA", fill=ALARM, font=ImageFont.load_default(size=15), anchor="ra")
    x, y = GAP, 24 * len(title) + 2
    for name, colour in colours.items():
        draw.rectangle((x, y + 5, x + 18, y + 9), fill=colour, outline=INK)
        draw.text((x + 23, y), name, fill=INK, font=font)
        x += 23 + int(draw.textlength(name, font=font)) + 18
    more = [f"dashed: {', '.join(dashed)}"] if dashed else []
    draw.text((x, y), "   ".join([*more, scales]), fill=INK, font=font)
    return part


def _row(
    phase: str, readings: Sequence[Reading], regions: list[str], colours: Mapping[str, tuple], width: int
) -> Image.Image:
    """The texts of a phase and under them its panels."""
    font = ImageFont.load_default(size=12)
    lines = []
    view = view_of(readings)
    for i, reading in enumerate(readings):
        text = f"{phase} {reading.reader}: {'EXCLUDED: ' if reading.excluded else ''}{reading.note}"
        if view and i > view.base and view.labels[i] is not None:
            dice = overlap(readings[view.base].case, reading.case)
            text += f"; overlap with {readings[view.base].reader}: Dice {dice:.2f}"
        elif view and i > view.base and reading.case:
            text += "; not drawn: its image has another grid"
        lines += [(line, ALARM if reading.excluded else INK) for line in textwrap.wrap(text, int(width / 6.2))]
    top = LINE * len(lines) + 6
    part = Image.new("RGB", (width, top + (PANEL + GAP if view else 0)), PAPER)
    draw = ImageDraw.Draw(part)
    for i, (line, colour) in enumerate(lines):
        draw.text((GAP, 3 + LINE * i), line, fill=colour, font=font)
    if view is None:
        return part
    tumour = _region(view, "tumour")
    everything = np.ones(view.image.shape, dtype=bool)
    panels = [_titled(view, Shown(view.slices, tumour, everything, view.bits), colours, "overview")]
    for name in regions:
        if name in view.bits:
            region = _region(view, name)
            cut_by = () if name == "tumour" else ("tumour", "liver")
            bits = {key: bit for key, bit in view.bits.items() if key == name or key in cut_by}
            panels.append(_titled(view, Shown(view.slices, region, region, bits), colours, name))
        else:
            panels.append(_blank(f"no {name}"))
    across = 1 if view.slices == 0 else 0
    panels.append(_titled(view, Shown(across, tumour, _regions(view), view.bits), colours, "across"))
    for i, panel in enumerate(panels):
        part.paste(panel, (GAP + i * (PANEL + GAP), top))
    return part


def _titled(view: View, shown: Shown, colours: Mapping[str, tuple], title: str) -> Image.Image:
    """A panel with its title, slice number, scale bar and letters of direction."""
    panel, k, pixel_mm = _panel(view, shown, colours, PANEL)
    draw = ImageDraw.Draw(panel)
    font = ImageFont.load_default(size=12)
    outlined = {"fill": PAPER, "font": font, "stroke_width": 2, "stroke_fill": INK}
    where = PLANES[shown.normal]
    if shown.normal == view.slices:
        place = shown.region.shape[shown.normal] - 1 - k if view.flipped else k
        number = view.first + place + 1
        where += f", slice {number} of {view.total}"
    draw.text((5, 3), f"{title}: {where}", **outlined)
    left, right, up, down = LETTERS[shown.normal]
    middle = PANEL // 2
    draw.text((4, middle), left, anchor="lm", **outlined)
    draw.text((PANEL - 5, middle), right, anchor="rm", **outlined)
    draw.text((middle, 20), up, anchor="ma", **outlined)
    draw.text((middle, PANEL - 4), down, anchor="md", **outlined)
    bar = max((mm for mm in (2, 5, 10, 20, 50, 100) if mm / pixel_mm < 0.4 * PANEL), default=1)
    y, x = PANEL - 9, PANEL - 8
    draw.rectangle((x - bar / pixel_mm - 1, y - 2, x + 1, y + 2), fill=INK)
    draw.rectangle((x - bar / pixel_mm, y - 1, x, y + 1), fill=PAPER)
    draw.text((x, y - 4), f"{bar} mm", anchor="rd", **outlined)
    return panel


def _blank(text: str) -> Image.Image:
    panel = Image.new("RGB", (PANEL, PANEL), NOTHING)
    middle = (PANEL // 2, PANEL // 2)
    ImageDraw.Draw(panel).text(middle, text, fill=PAPER, font=ImageFont.load_default(size=12), anchor="mm")
    return panel


def _panel(view: View, shown: Shown, colours: Mapping[str, tuple], side: int) -> tuple[Image.Image, int, float]:
    """The slice that is shown in a square of `side` pixels, in true proportions: picture, slice, mm per pixel."""
    normal, region, field, bits = shown
    across = tuple(a for a in range(3) if a != normal)
    k = int(region.sum(axis=across).argmax())
    image = slice_of(view.image, normal, k)
    rows, columns = view.spacing[list(across)]
    hit = slice_of(field.any(axis=normal, keepdims=True), normal, 0)
    margin = 0.0 if field.all() else MARGIN_MM
    y, x = (np.flatnonzero(hit.any(axis=a)) for a in (1, 0))
    centre = np.array([(y[0] + y[-1] + 1) / 2 * rows, (x[0] + x[-1] + 1) / 2 * columns])
    reach = max((y[-1] + 1 - y[0]) * rows, (x[-1] + 1 - x[0]) * columns) / 2 + margin
    # corners of the square field in voxels: left, top, right, bottom
    box = (
        (centre[1] - reach) / columns,
        (centre[0] - reach) / rows,
        (centre[1] + reach) / columns,
        (centre[0] + reach) / rows,
    )
    grey = np.clip((image - view.low) / max(view.high - view.low, 1e-6), 0, 1) * 255
    # bilinear needs a neighbour: without a copied border the outer half voxel would be missing
    padded = Image.fromarray(np.pad(grey.round().astype(np.uint8), 1, mode="edge"))
    scaled = padded.transform((side, side), Image.Transform.EXTENT, [v + 1 for v in box], Image.Resampling.BILINEAR)
    inside = Image.new("L", image.shape[::-1], 255).transform((side, side), Image.Transform.EXTENT, box)
    panel = Image.new("RGB", (side, side), NOTHING)
    panel.paste(Image.merge("RGB", [scaled] * 3), mask=inside)
    draw = ImageDraw.Draw(panel)
    scale = np.array([side / (box[2] - box[0]), side / (box[3] - box[1])])
    thickness = 2 if scale.min() > 4 else 1
    for i, labels in reversed(list(enumerate(view.labels))):
        if labels is None:
            continue
        for name in reversed(colours):  # the tumour last, on top
            if name in bits:
                mask = slice_of((labels & np.uint8(bits[name])) > 0, normal, k)
                edges = (_edges(mask, dashed=i != view.base) - box[:2]) * scale
                for line in edges.reshape(-1, 4).tolist():
                    draw.line(line, fill=colours[name], width=thickness)
    return panel, k, 2 * reach / side


def _edges(mask: np.ndarray, dashed: bool) -> np.ndarray:
    """Straight pieces (n, start and end, x and y) of the outline of a mask, in voxels, along the voxels' edges."""
    padded = np.pad(mask, 1, mode="edge")  # where the crop ends, the region may go on: no line there
    row, column = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])  # between a voxel and the one above
    across = np.stack([np.stack([column, row], 1), np.stack([column + 1, row], 1)], 1)
    row, column = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    down = np.stack([np.stack([column, row], 1), np.stack([column, row + 1], 1)], 1)
    edges = np.concatenate([across, down]).astype(float)
    if dashed:
        edges[:, 1] -= 0.45 * (edges[:, 1] - edges[:, 0])
    return edges


# geometry, grey scale, names


def view_of(readings: Sequence[Reading]) -> View | None:
    """The first case of the readings turned to the patient, and every reading's labels on its lattice."""
    base = next((i for i, reading in enumerate(readings) if reading.case), None)
    if base is None:
        return None
    case = readings[base].case
    cosines = np.reshape(case.direction, (3, 3))  # column: where an index axis (x, y, z) points in left, posterior, up
    to = max(permutations(range(3)), key=lambda axes: sum(abs(cosines[axes[j], j]) for j in range(3)))
    index = [to.index(physical) for physical in (2, 1, 0)]  # index axis of superior, posterior, left
    order = [2 - j for j in index]  # as array axes (z, y, x)
    flips = tuple(a for a, j in enumerate(index) if cosines[to[j], j] < 0)

    def turned(array: np.ndarray) -> np.ndarray:
        return np.flip(array.transpose(order), flips)

    labels = [None if r.case is None else _on_lattice(r.case, case) for r in readings]
    low, high = _grey_scale(case)
    slices = order.index(0)
    return View(
        base, _bits(case), turned(case.image), [None if found is None else turned(found) for found in labels],
        case.spacing[index], slices, low, high, int(case.offset[2]), slices in flips, int(case.full_size[2]),
    )  # fmt: skip


def _on_lattice(moving: Case, case: Case) -> np.ndarray | None:
    """Labels of another reader's case in the box of this one, or None if its image has another lattice."""
    if moving is case:
        return case.labels
    same = [np.allclose(getattr(case, name), getattr(moving, name), atol=1e-3) for name in ("spacing", "full_origin")]
    if not (all(same) and np.allclose(case.direction, moving.direction, atol=1e-4)):
        return None
    if not np.array_equal(case.full_size, moving.full_size):
        return None
    labels = np.zeros_like(case.labels)
    here, there = [], []
    for axis in range(3):
        shift = int(moving.offset[2 - axis] - case.offset[2 - axis])
        start, stop = max(shift, 0), min(shift + moving.labels.shape[axis], case.labels.shape[axis])
        if start >= stop:
            return labels
        here.append(slice(start, stop))
        there.append(slice(start - shift, stop - shift))
    labels[tuple(here)] = moving.labels[tuple(there)]
    return labels


def _grey_scale(case: Case) -> tuple[float, float]:
    """The HU window for CT; percentiles of the regions where there are no HU, or not those of a tumour."""
    if has_hu(case) and HU_WINDOW[0] <= np.median(case.image[(case.labels & TUMOUR) > 0]) <= HU_WINDOW[1]:
        return HU_WINDOW
    regions = np.uint8(sum(_bits(case).values()))
    low, high = np.percentile(case.image[(case.labels & regions) > 0], (1, 99)).tolist()
    reach = 0.25 * max(high - low, 1e-6)
    return low - reach, high + reach


def has_hu(case: Case) -> bool:
    return case.facts.get("modality", "CT") == "CT" and case.facts.get("normalise", "none") == "none"


def _scales(cases: Sequence[Case]) -> str:
    """What the grey scale is, in words."""
    used = {_grey_scale(case) == HU_WINDOW for case in cases}
    low, high = HU_WINDOW
    names = {
        True: f"window: level {(low + high) / 2:g}, width {high - low:g} HU",
        False: "window: percentiles 1 to 99 of the regions, widened by half",
    }
    return " or ".join(names[key] for key in sorted(used, reverse=True))


def _region(view: View, name: str) -> np.ndarray:
    return (view.labels[view.base] & np.uint8(view.bits[name])) > 0


def _regions(view: View) -> np.ndarray:
    """Tumour and rims together."""
    bits = sum(bit for name, bit in view.bits.items() if name != "liver")
    return (view.labels[view.base] & np.uint8(bits)) > 0


def slice_of(array: np.ndarray, normal: int, k: int) -> np.ndarray:
    """One slice as a picture: rows from anterior to posterior or from superior to inferior."""
    plane = np.take(array, k, axis=normal)
    return plane if normal == 0 else plane[::-1]


def _bits(case: Case) -> dict[str, int]:
    """Region name -> bit of the label map, tumour first, only regions that have voxels."""
    named = sorted(case.facts["regions"].items(), key=lambda item: item[1])
    return {name: bit for name, bit in named if (case.labels & np.uint8(bit)).any()}


def _colours(cases: Sequence[Case]) -> dict[str, tuple[int, int, int]]:
    """Region name -> colour for all regions of the cases; the liver last."""
    names = dict.fromkeys(name for case in cases for name in _bits(case))
    ordered = sorted(names, key=lambda name: (name == "liver", name not in COLOURS))
    more = iter(MORE_COLOURS * 3)
    return {name: COLOURS.get(name) or next(more) for name in ordered}


def _dashed(phases: Mapping[str, Sequence[Reading]]) -> list[str]:
    """Readers whose contours are drawn dashed in some phase."""
    return sorted({r.reader for readings in phases.values() for r in [r for r in readings if r.case][1:]})
