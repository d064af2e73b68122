"""One tumour's surroundings out of the whole image: its regions, what their rims lost, and the crop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from recur.images.case_file import BITS, CLIP, FURTHER, LIVER, TUMOUR, Case
from recur.images.flags import flag, joined
from recur.images.plausible import check_extent, mask_flags
from recur.images.read import Grid, Volume
from recur.images.regions import Rim, bounding_box, maximum_diameter, rims, widen
from recur.tables import StudyError

# The crop must hold the box that pyradiomics resamples (regions + padDistance, rounded outwards on the new grid) and 20
# input voxels more: there a cubic B-spline of the crop, in float32, equals that of the whole image bit for bit (its
# pole is 0.268: the influence of the cut falls 3.7 times a voxel).
SPLINE_VOXELS = 20
ROUNDING_VOXELS = 2
# (padDistance + 1.5) x output spacing for pyradiomics' 10 voxels of 1 mm; `pad_mm` in the settings overrides it.
PAD_MM = 11.5
ODD_HU = (-200.0, 400.0)  # medians of a tumour outside this are flagged: fat, air, metal, or a lost rescale intercept


class Surroundings(NamedTuple):
    """Image and masks around one tumour, cut to one box: arrays (z, y, x), spacing in x, y, z (mm)."""

    image: np.ndarray
    tumour: np.ndarray
    masks: dict[str, np.ndarray]  # by their column of the manifest
    spacing: tuple[float, float, float]
    hu: bool  # whether the grey values are Hounsfield units


class RimRules(NamedTuple):
    """Which rims a case has, and when one of them cannot be used."""

    widths: dict[str, tuple[float, float]]  # name -> (inner, outer), mm from the tumour
    least_share: float | None  # of the shell that must be left after clipping
    hu_floor: float | None  # a rim with a median below this lies in air
    hu_window: tuple[float, float] | None  # clips a rim where there is no liver mask


class Regions(NamedTuple):
    """The regions of a case: their bits, a row of the region table each, columns of the case table, remarks."""

    labels: np.ndarray
    table: list[dict[str, Any]]
    facts: dict[str, Any]
    flags: list[str]


def cut_case(
    whole: Volume,
    tumour: np.ndarray,
    masks: Mapping[str, np.ndarray | None],
    regions: Mapping[str, Any],
    facts: dict[str, Any],
    flags: list[str],
) -> Case:
    """The case of one tumour mask: everything is cut to the tumour's surroundings first, then made there.

    whole: the image; tumour: the mask (z, y, x; bool) of the whole image; masks: by their column, None where the row
    has none; regions: as for recur.images.case.make_cases; facts and flags: what is known of the whole image. Raises
    StudyError for a tumour or a rim that cannot be used.
    """
    spacing = whole.grid.spacing
    rules = _rim_rules(regions)
    margin = _voxels_of(regions.get("pad_mm", PAD_MM), spacing, SPLINE_VOXELS + ROUNDING_VOXELS)
    reach = _voxels_of(max([0.0, *(outer for _, outer in rules.widths.values())]), spacing, 0)
    given = {column: mask for column, mask in masks.items() if mask is not None}
    check_extent(tumour, "tumour")
    largest_mm = maximum_diameter(tumour, spacing)
    remarks, measured = mask_flags(tumour, spacing, given, largest_mm)
    outer_box = widen(bounding_box(tumour), [m + r for m, r in zip(margin, reach, strict=True)], tumour.shape)
    around = Surroundings(
        whole.voxels[outer_box],
        tumour[outer_box],
        {column: mask[outer_box] for column, mask in given.items()},
        spacing,
        hu=facts["modality"] == "CT" and facts["normalise"] == "none",
    )
    further = [name for name in rules.widths if name != "rim"]
    bits = BITS | dict(zip(further, FURTHER, strict=False))
    made = _regions(around, rules, bits)
    analysed = np.uint8(sum(bit for name, bit in bits.items() if name != "liver"))
    box = widen(bounding_box((made.labels & analysed) > 0), margin, made.labels.shape)
    facts = {
        **joined([*flags, *remarks, *made.flags]),
        **measured,
        **_sizes(made.labels, spacing),
        "diameter_mm": largest_mm,
        **dict(zip(("spacing_x", "spacing_y", "spacing_z"), spacing, strict=True)),
        **dict(zip(("size_x", "size_y", "size_z"), whole.grid.size, strict=True)),
        "bits": whole.source,
        **facts,
        **made.facts,
        "regions": bits,
        "rims": {name: list(width) for name, width in rules.widths.items()},
        "region_table": made.table,
    }
    offset = np.array([outer.start + inner.start for outer, inner in zip(outer_box[::-1], box[::-1], strict=True)])
    return _crop(around.image[box], made.labels[box], whole.grid, offset, facts)


def _rim_rules(regions: Mapping[str, Any]) -> RimRules:
    widths: dict[str, tuple[float, float]] = {}
    if regions.get("rim_mm"):
        widths["rim"] = (0.0, float(regions["rim_mm"]))
    for name, (inner, outer) in (regions.get("more_rims") or {}).items():
        widths[name] = (float(inner), float(outer))
    return RimRules(widths, regions.get("min_shell_fraction"), regions.get("rim_hu_floor"), regions.get("hu_window"))


def _voxels_of(mm: float, spacing: tuple[float, float, float], more: int) -> list[int]:
    """A distance in voxels of z, y, x, rounded up, and some more."""
    return [int(np.ceil(mm / step)) + more for step in spacing[::-1]]


def _regions(around: Surroundings, rules: RimRules, bits: Mapping[str, int]) -> Regions:
    """Tumour, liver and rims of a case. Raises StudyError where the tumour is of one value or its rim is of no use."""
    inside = around.image[around.tumour]
    if np.ptp(inside) == 0:
        raise StudyError(
            f"tumour: its {inside.size} voxels all have the same value ({inside[0]:g}); check image and mask"
        )
    labels = around.tumour.astype(np.uint8) * TUMOUR
    if "liver_mask" in around.masks:
        labels |= around.masks["liver_mask"].astype(np.uint8) * LIVER
    tumour = _region_row("tumour", around.tumour, around)
    made = Regions(labels, [tumour], {"shell_fraction": None}, [])
    if around.hu and not ODD_HU[0] <= tumour["median"] <= ODD_HU[1]:
        made.flags.append(flag("odd", f"tumour: median {tumour['median']:.0f} HU is odd"))
    if rules.widths:
        _add_rims(made, around, rules, bits)
    return made


def _add_rims(made: Regions, around: Surroundings, rules: RimRules, bits: Mapping[str, int]) -> None:
    """Write the rims into the regions of a case; StudyError where the rim itself cannot be used."""
    hu_window = rules.hu_window if around.hu else None
    clips, remark = rim_clips(around.masks, around.image, hu_window)
    if remark:
        made.flags.append(flag("rim", remark))
    allowed = np.logical_and.reduce([np.ones(around.tumour.shape, bool), *clips.values()])
    made.labels[...] |= allowed.astype(np.uint8) * CLIP
    for name, rim in rims(around.tumour, around.spacing, rules.widths, clips).items():
        line = _region_row(name, rim.voxels, around) | {"shell_fraction": rim.shell_fraction}
        line |= {f"lost_{clip}": share for clip, share in rim.lost.items()}
        problem = _rim_problem(name, rim, line["median"], rules, around.hu)
        if problem and name == "rim":
            raise StudyError(problem)
        if problem:  # a sensitivity rim is left out of the case; who analyses it leaves the patient out
            made.flags.append(flag("left_out", f"left out: {problem}"))
            line["reason"] = problem
        else:
            made.labels[...] |= rim.voxels.astype(np.uint8) * np.uint8(bits[name])
        made.table.append(line)
        if name == "rim":
            made.facts["shell_fraction"] = rim.shell_fraction
        else:
            made.facts.update({f"{name}_{key}": line[key] for key in ("voxels", "ml", "shell_fraction")})


def _sizes(labels: np.ndarray, spacing: tuple[float, float, float]) -> dict[str, Any]:
    """Voxels and ml of tumour and rim, as columns of the case table."""
    voxel_ml = float(np.prod(spacing)) / 1000
    sizes: dict[str, Any] = {}
    for name in ("tumour", "rim"):
        voxels = int(((labels & BITS[name]) > 0).sum())
        sizes |= {f"{name}_voxels": voxels, f"{name}_ml": voxels * voxel_ml}
    return sizes


def rim_clips(
    masks: Mapping[str, np.ndarray], image: np.ndarray, hu_window: tuple[float, float] | None
) -> tuple[dict[str, np.ndarray], str | None]:
    """Where a rim may lie, by what says so (liver mask, else the HU window; never lesions or vessels), and a remark."""
    clips = {}
    remark = None
    if "liver_mask" in masks:
        clips["liver"] = masks["liver_mask"]
    elif hu_window is not None:
        low, high = hu_window
        clips["hu"] = (image >= low) & (image <= high)
        remark = f"no liver mask: rim clipped to {low:g}..{high:g} HU"
    else:
        remark = "no liver mask and no HU window: rim not clipped"
    for name, column in (("lesions", "lesions_mask"), ("vessels", "vessel_mask")):
        if column in masks:
            clips[name] = ~masks[column]
    return clips, remark


def _region_row(name: str, mask: np.ndarray, around: Surroundings) -> dict[str, Any]:
    voxels = int(mask.sum())
    median = float(np.median(around.image[mask])) if voxels else None
    ml = voxels * float(np.prod(around.spacing)) / 1000
    return {"region": name, "voxels": voxels, "ml": ml, "median": median}


def _crop(image: np.ndarray, labels: np.ndarray, grid: Grid, offset: np.ndarray, facts: dict[str, Any]) -> Case:
    return Case(
        image=np.ascontiguousarray(image, np.float32),  # whole numbers would be truncated when resampled
        labels=np.ascontiguousarray(labels),
        spacing=np.array(grid.spacing),
        direction=np.array(grid.direction),
        full_size=np.array(grid.size),
        offset=offset,
        full_origin=np.array(grid.origin),
        facts=facts,
    )


def _rim_problem(name: str, rim: Rim, median: float | None, rules: RimRules, hu: bool) -> str | None:
    """Why a rim cannot be used: too little of it is left, or it lies in air (wrong mask, lung, bowel)."""
    inner, outer = rules.widths[name]
    shell = f"{inner:g} to {outer:g} mm" if inner else f"{outer:g} mm"
    if median is None or (rules.least_share is not None and rim.shell_fraction < rules.least_share):
        takers = [f"{clip} {100 * share:.0f} %" for clip, share in rim.lost.items() if share >= 0.005]
        lost = f" (lost to {', '.join(takers)})" if takers else ""
        return (
            f"{name}: {100 * rim.shell_fraction:.0f} % of the {shell} shell is left after clipping{lost}, at least "
            f"{100 * (rules.least_share or 0):.0f} % is needed; check the liver mask and the field of view"
        )
    if hu and rules.hu_floor is not None and median < rules.hu_floor:
        return f"{name}: median {median:.0f} HU is below {rules.hu_floor:g}, it lies in air; check mask and image"
    return None
