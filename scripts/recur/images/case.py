"""From one row of the image manifest to a cropped case, stored under the hash of everything it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import scipy
import SimpleITK as sitk

from recur.images.case_file import BITS, CLIP, FURTHER, LIVER, TUMOUR, Case, load_case, save_case
from recur.images.detached import data_files
from recur.images.dicom.slices import file_state, files_of
from recur.images.flags import added, flag, joined, kind_of
from recur.images.grid import in_anatomical_order, rounded
from recur.images.normalise import normalised, without_bias
from recur.images.plausible import check_extent, hu_problem, hu_remark, mask_flags
from recur.images.read import EmptyMask, Grid, Volume, read_image, read_mask
from recur.images.regions import Rim, bounding_box, lesions, maximum_diameter, rims, widen
from recur.isolated import Crashed, isolated
from recur.sources import checksums, closure
from recur.tables import StudyError

MASKS = ("mask", "liver_mask", "vessel_mask", "lesions_mask", "aorta_mask")

# The crop must hold the box that pyradiomics resamples (regions + padDistance, rounded outwards on the new grid) and 20
# input voxels more: there a cubic B-spline of the crop, in float32, equals that of the whole image bit for bit (its
# pole is 0.268: the influence of the cut falls 3.7 times a voxel).
SPLINE_VOXELS = 20
ROUNDING_VOXELS = 2
# (padDistance + 1.5) x output spacing for pyradiomics' 10 voxels of 1 mm; `pad_mm` in the settings overrides it.
PAD_MM = 11.5
THICK_SLICE_RATIO = 3.0
ODD_HU = (-200.0, 400.0)  # medians of a tumour outside this are flagged: fat, air, metal, or a lost rescale intercept


def make_case(row: Mapping[str, str | None], regions: Mapping[str, Any]) -> Case:
    """The one case of a manifest row, or that of its largest lesion: see make_cases."""
    return make_cases(row, regions)[0]


def make_cases(row: Mapping[str, str | None], regions: Mapping[str, Any]) -> list[Case]:
    """Read image and masks of one manifest row, check them, normalise, make the rims, crop.

    `regions`: rim_mm (None or 0: no rim), more_rims (name -> [inner, outer] mm), min_shell_fraction, hu_window,
    rim_hu_floor, each may be None; pad_mm, the room left for resampling, only where extraction pads more than 10
    voxels of 1 mm; lesions (together, largest, each), modality (CT, MR), normalise (none, zscore, liver), n4.
    One case, but one a lesion, largest first, for `lesions: each`.
    Raises StudyError with the cause in one line; the caller adds patient, phase and reader.
    """
    nonuniform = regions.get("nonuniform") or "refuse"
    image = _named("image", read_image, row["image"], row.get("series"), nonuniform, as_stored=True)
    masks, flags, mask_offset = _masks(row, image, regions.get("mask_grid") or "same")
    if regions.get("orientation", "anatomical") == "anatomical":
        image, masks = in_anatomical_order(image, masks)
    image = image._replace(grid=rounded(image.grid))
    check_extent(masks["mask"], "tumour")
    read = image.facts | {"mask_offset_mm": mask_offset, "image_hash": image_hash(image.voxels)}
    read["tumour_hash"] = tumour_hash(image.voxels, masks["mask"])
    read["mask_hash"] = hashlib.sha256(np.packbits(masks["mask"]).tobytes()).hexdigest()
    spacing = image.grid.spacing
    if max(spacing) > THICK_SLICE_RATIO * min(spacing):
        flags.append(flag("thick", f"slice/in-plane ratio {max(spacing) / min(spacing):.1f}"))
    if regions.get("modality", "CT") == "CT":
        flags += _odd_grey_values(image.voxels, regions)
    image, facts = _on_scale(image, masks, regions)
    facts = read | facts | _organ_medians(image.voxels, masks)
    how = regions.get("lesions", "together")
    box, numbers = lesions(masks["mask"], spacing)
    count = int(numbers.max())
    made = []
    for number in range(1, count + 1 if how == "each" else 2):
        lesion, others = masks["mask"], masks.get("lesions_mask")
        if how != "together":
            lesion = np.zeros_like(lesion)
            lesion[box] = numbers == number
            others = masks["mask"] if others is None else masks["mask"] | others
        others = None if others is None else others & ~lesion
        own = facts | {"lesion": number, "lesions": count}
        if how == "each" and number > 1 and min(side.stop - side.start for side in bounding_box(lesion)) < 2:
            added(made[0].facts, flag("left_out", f"lesion {number} left out: one slice"))
            continue
        made.append(_case_of(image, lesion, masks | {"lesions_mask": others}, regions, own, list(flags)))
    return made


def _odd_grey_values(voxels: np.ndarray, regions: Mapping[str, Any]) -> list[str]:
    """Remarks on a CT's grey values; StudyError where they are no HU, unless the study takes them (`not_hu: flag`)."""
    problem = hu_problem(voxels)
    if problem and regions.get("not_hu", "exclude") == "exclude":
        raise StudyError(f"image: {problem}; give the CT in HU, or declare images.modality: MR or images.not_hu: flag")
    if problem:
        return [flag("not_hu", problem)]
    remark = hu_remark(voxels)
    return [flag("not_hu", remark)] if remark else []


def _organ_medians(voxels: np.ndarray, masks: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """Median grey values of liver (without lesions and vessels) and aorta: what tells a phase from another."""
    medians: dict[str, float | None] = {"liver_median": None, "aorta_median": None}
    for organ, others in (("liver", ("mask", "lesions_mask", "vessel_mask")), ("aorta", ())):
        if f"{organ}_mask" not in masks:
            continue
        box = bounding_box(masks[f"{organ}_mask"])
        own = masks[f"{organ}_mask"][box].copy()
        for other in others:
            if other in masks:
                own &= ~masks[other][box]
        if own.any():
            medians[f"{organ}_median"] = float(np.median(voxels[box][own]))
    return medians


def image_hash(voxels: np.ndarray) -> str:
    """SHA-256 over a coarse sample of the image (z, y, x) and its shape: two patients with one image are found."""
    sample = np.round(voxels[::2, ::8, ::8]).astype(np.int32)
    return hashlib.sha256(repr(voxels.shape).encode() + sample.tobytes()).hexdigest()


def tumour_hash(voxels: np.ndarray, mask: np.ndarray) -> str:
    """SHA-256 over the grey values in the mask (z, y, x): a copy of the image that was cropped has it, too."""
    box = bounding_box(mask)
    values = np.rint(voxels[box][mask[box]]).astype(np.int32)
    shape = repr(mask[box].shape).encode() + np.packbits(mask[box]).tobytes()
    return hashlib.sha256(shape + values.tobytes()).hexdigest()


def _masks(
    row: Mapping[str, str | None], image: Volume, mask_grid: str
) -> tuple[dict[str, np.ndarray], list[str], float]:
    """Every mask of the row by its column (bool, whole image), remarks on image and masks, offset of the tumour's."""
    masks, flags, offset = {}, list(image.flags), 0.0
    for column in MASKS:
        if not row.get(column):
            continue
        what, label = column.replace("_", " "), row.get(_label_column(column))
        try:
            mask = _named(what, read_mask, row[column], label, image, mask_grid)
        except EmptyMask:
            if column in ("vessel_mask", "lesions_mask", "aorta_mask"):
                continue  # no vessel and no other lesion is a finding, not an error; the aorta may lie outside
            raise
        masks[column] = mask.voxels
        offset = mask.offset_mm if column == "mask" else offset
        organ = what.removesuffix("mask")
        own = [text for text in mask.flags if text not in flags]  # one header's fault is often the other's
        flags += own if column == "mask" else [flag(kind_of(text), f"{organ}{text}") for text in mask.flags]
    return masks, flags, offset


def _label_column(mask: str) -> str:
    return "mask_label" if mask == "mask" else mask.replace("mask", "label")


def _on_scale(image: Volume, masks: Mapping[str, np.ndarray], regions: Mapping[str, Any]) -> tuple[Volume, dict]:
    """The image after N4 and normalisation, and the columns that say so."""
    how, n4 = regions.get("normalise", "none"), bool(regions.get("n4"))
    if n4 or how != "none":
        image = image._replace(voxels=image.voxels.astype(np.float32, copy=False))
    facts = {"modality": regions.get("modality", "CT"), "normalise": how, "n4": n4}
    facts |= {"normalise_mean": None, "normalise_sd": None}
    if n4:
        image = image._replace(voxels=without_bias(image.voxels, image.grid.spacing))
    liver = masks.get("liver_mask")
    if how == "liver" and liver is not None:
        liver = liver.copy()
        for column in ("mask", "lesions_mask", "vessel_mask"):
            if column in masks:
                liver &= ~masks[column]
    voxels, scale = normalised(image.voxels, how, liver)
    return image._replace(voxels=voxels), facts | scale


def _case_of(
    whole: Volume,
    tumour: np.ndarray,
    masks: Mapping[str, np.ndarray | None],
    regions: Mapping[str, Any],
    facts: dict[str, Any],
    flags: list[str],
) -> Case:
    """The case of one tumour mask: everything is cut to the tumour's surroundings first, then made there."""
    grid, spacing = whole.grid, whole.grid.spacing
    rim_mm = regions.get("rim_mm") or 0
    widths = {"rim": (0.0, float(rim_mm))} if rim_mm else {}
    widths |= {name: (float(inner), float(outer)) for name, (inner, outer) in (regions.get("more_rims") or {}).items()}
    pad_mm = regions.get("pad_mm", PAD_MM)
    margin = [int(np.ceil(pad_mm / step)) + SPLINE_VOXELS + ROUNDING_VOXELS for step in spacing[::-1]]
    reach = [int(np.ceil(max([0.0, *(outer for _, outer in widths.values())]) / step)) for step in spacing[::-1]]
    check_extent(tumour, "tumour")
    largest_mm = maximum_diameter(tumour, spacing)
    remarks, measured = mask_flags(tumour, spacing, {k: v for k, v in masks.items() if v is not None}, largest_mm)
    flags += remarks
    outer_box = widen(bounding_box(tumour), [m + r for m, r in zip(margin, reach, strict=True)], tumour.shape)
    image, tumour = whole.voxels[outer_box], tumour[outer_box]
    masks = {name: mask[outer_box] for name, mask in masks.items() if mask is not None}

    names = BITS | dict(zip([name for name in widths if name != "rim"], FURTHER, strict=False))
    labels = tumour.astype(np.uint8) * TUMOUR
    if "liver_mask" in masks:
        labels |= masks["liver_mask"].astype(np.uint8) * LIVER
    if np.ptp(image[tumour]) == 0:
        raise StudyError(
            f"tumour: its {tumour.sum()} voxels all have the same value ({image[tumour][0]:g}); check image and mask"
        )
    table = [_region_row("tumour", tumour, image, spacing)]
    facts = facts | {"shell_fraction": None}
    hu = facts["modality"] == "CT" and facts["normalise"] == "none"
    if hu and not ODD_HU[0] <= table[0]["median"] <= ODD_HU[1]:
        flags.append(flag("odd", f"tumour: median {table[0]['median']:.0f} HU is odd"))
    if widths:
        clips, remark = rim_clips(masks, image, regions.get("hu_window") if hu else None)
        flags += [flag("rim", remark)] if remark else []
        allowed = np.logical_and.reduce([np.ones(tumour.shape, bool), *clips.values()])
        labels |= allowed.astype(np.uint8) * CLIP
        for name, made in rims(tumour, spacing, widths, clips).items():
            line = _region_row(name, made.voxels, image, spacing) | {"shell_fraction": made.shell_fraction}
            line |= {f"lost_{clip}": share for clip, share in made.lost.items()}
            problem = _rim_problem(name, widths[name], made, line["median"], regions, hu)
            if problem and name == "rim":
                raise StudyError(problem)
            if problem:  # a sensitivity rim is left out of the case; who analyses it leaves the patient out
                flags.append(flag("left_out", f"left out: {problem}"))
                line |= {"reason": problem}
            else:
                labels |= made.voxels.astype(np.uint8) * np.uint8(names[name])
            table.append(line)
            if name != "rim":
                facts |= {f"{name}_{key}": line[key] for key in ("voxels", "ml", "shell_fraction")}
            else:
                facts |= {"shell_fraction": made.shell_fraction}

    inside = (labels & np.uint8(sum(bit for name, bit in names.items() if name != "liver"))) > 0
    box = widen(bounding_box(inside), margin, labels.shape)
    ml = float(np.prod(spacing)) / 1000
    counts = {name: int(((labels & names[name]) > 0).sum()) for name in ("tumour", "rim")}
    facts = {
        **joined(flags),
        **measured,
        "tumour_voxels": counts["tumour"],
        "tumour_ml": counts["tumour"] * ml,
        "rim_voxels": counts["rim"],
        "rim_ml": counts["rim"] * ml,
        "diameter_mm": largest_mm,
        **dict(zip(("spacing_x", "spacing_y", "spacing_z"), spacing, strict=True)),
        **dict(zip(("size_x", "size_y", "size_z"), grid.size, strict=True)),
        "bits": whole.source,
        **facts,
        "regions": names,
        "rims": {name: list(width) for name, width in widths.items()},
        "region_table": table,
    }
    offset = np.array([o.start + b.start for o, b in zip(outer_box[::-1], box[::-1], strict=True)])
    return _crop(image[box], labels[box], grid, offset, facts)


def rim_clips(
    masks: Mapping[str, np.ndarray], image: np.ndarray, hu_window: tuple[float, float] | None
) -> tuple[dict[str, np.ndarray], str | None]:
    """Where a rim may lie, by what says so (liver mask, else the HU window; never lesions or vessels), and a remark."""
    clips, remark = {}, None
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


def _region_row(name: str, mask: np.ndarray, image: np.ndarray, spacing: tuple[float, float, float]) -> dict[str, Any]:
    voxels = int(mask.sum())
    median = float(np.median(image[mask])) if voxels else None
    return {"region": name, "voxels": voxels, "ml": voxels * float(np.prod(spacing)) / 1000, "median": median}


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


def _rim_problem(
    name: str, width: tuple[float, float], made: Rim, median: float | None, regions: Mapping[str, Any], hu: bool
) -> str | None:
    """Why a rim cannot be used: too little of it is left, or it lies in air (wrong mask, lung, bowel)."""
    least, floor = regions.get("min_shell_fraction"), regions.get("rim_hu_floor")
    shell = f"{width[1]:g} mm" if not width[0] else f"{width[0]:g} to {width[1]:g} mm"
    if median is None or (least is not None and made.shell_fraction < least):
        lost = ", ".join(f"{clip} {100 * share:.0f} %" for clip, share in made.lost.items() if share >= 0.005)
        return (
            f"{name}: {100 * made.shell_fraction:.0f} % of the {shell} shell is left after clipping"
            f"{f' (lost to {lost})' if lost else ''}, "
            f"at least {100 * (least or 0):.0f} % is needed; check the liver mask and the field of view"
        )
    if hu and floor is not None and median < floor:
        return f"{name}: median {median:.0f} HU is below {floor:g}, it lies in air; check mask and image"
    return None


def _named(what: str, read: Any, *arguments: Any, **options: Any) -> Any:
    try:
        return read(*arguments, **options)
    except EmptyMask as error:
        raise EmptyMask(f"{what} {error}") from None
    except StudyError as error:
        raise StudyError(f"{what} {error}") from None


def cached_cases(row: Mapping[str, str | None], regions: Mapping[str, Any], cache: Path) -> list[tuple[str, Case]]:
    """The cases of a manifest row and their file names in the cache, from there if all are there and whole.

    `<key>.npz`; with `lesions: each` the second lesion is `<key>-2.npz`, and so on.
    """
    key = case_key(row, regions)
    try:
        first = load_case(cache / f"{key}.npz")
        count = first.facts["lesions"] if regions.get("lesions") == "each" else 1
        names = [f"{key}.npz", *(f"{key}-{k}.npz" for k in range(2, count + 1))]
        return [(names[0], first), *((name, load_case(cache / name)) for name in names[1:])]
    except StudyError:
        try:
            cases = isolated(lambda: make_cases(row, regions))
        except Crashed as error:
            raise StudyError(str(error)) from None
        names = [f"{key}.npz", *(f"{key}-{k}.npz" for k in range(2, len(cases) + 1))]
        for name, case in zip(names, cases, strict=True):
            save_case(case, cache / name)
        return list(zip(names, cases, strict=True))


def case_key(row: Mapping[str, str | None], regions: Mapping[str, Any]) -> str:
    """SHA-256 over the bytes of image and masks, labels, settings, this module's sources and their libraries.

    Paths, ids and times are left out, so that studies share cases and a moved file is recognised.
    """
    settings = {k: v for k, v in regions.items() if k != "on_error"}
    parts = {
        "files": {what: content_hash(row[what]) if row.get(what) else None for what in ("image", *MASKS)},
        "labels": [row.get(_label_column(column)) or "" for column in MASKS],
        "series": row.get("series") or "",
        "regions": json.loads(json.dumps(settings), parse_int=float),  # 10 and 10.0 are one setting
        "code": _code_version(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def content_hash(path: str | Path) -> str:
    """SHA-256 of a file, or of all files in a folder in name order (their names do not count); "" if missing.

    A header whose voxels are in other files stands for these, too.
    """
    path = Path(path)
    if not path.exists():
        return ""
    try:
        voxels = [] if path.is_dir() else data_files(path)
        if lost := [file.name for file in voxels if not file.is_file()]:
            raise StudyError(f"{path.name}: its voxels ({lost[0]}) are not there; copy that file beside it")
        return "".join(_content_hash(file, file_state(file)) for file in (path, *voxels))
    except OSError as error:
        raise StudyError(f"{path.name}: cannot be opened ({error.strerror})") from None


@lru_cache(maxsize=4)  # the phases and readers of a patient often share one folder
def _content_hash(path: Path, state: tuple[Any, ...]) -> str:
    digest = hashlib.sha256()
    for file in files_of(path):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _code_version() -> list[str]:
    libraries = (np, scipy, sitk.Version, pydicom)
    versions = [v.VersionString() if v is sitk.Version else v.__version__ for v in libraries]
    # of this package only: an edit of, say, recur.tables reads no image again
    own = closure(__file__, within=Path(__file__).parent)
    return [digest for digest, _ in checksums(own)] + versions
