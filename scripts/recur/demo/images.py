"""Images of the synthetic demo cohort: a liver with one tumour whose texture and rim carry the planted factors.

A patient's anatomy is a set of analytic surfaces, so both phases, both readers and any grid see the same patient.
Arrays are (z, y, x), HU; points and lengths are (x, y, z) in mm. Everything random comes from (seed, patient id):
batches and their order change nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from recur.demo.dicom import ORIGIN, Scanner, write_ct_series, write_rtstruct, write_seg
from recur.tables import whole_file

PHASES = ("AP", "PVP")
RIM_MM = 10.0

SCANNERS = {
    "A": Scanner((1.5, 1.5, 2.5), (80, 80, 36), "SHARP", 0.7, 8.0, 0.7),
    "B": Scanner((1.6, 1.6, 3.0), (80, 80, 34), "SMOOTH", 0.9, 10.0, 0.9),
}
SCAN_VARIATION = 0.25  # SD of the logarithm of noise and blur between patients of one centre: dose, size, scanner

# Mean HU of liver, tumour and vessels in each phase, and how much of the planted rim a phase shows.
CONTRAST = {
    "AP": {"liver": 70.0, "tumour": 95.0, "vessel": 140.0, "rim": 1.0},
    "PVP": {"liver": 110.0, "tumour": 85.0, "vessel": 170.0, "rim": 0.3},
}
FAT_HU, AIR_HU = -115.0, -1000.0
TEXTURE_MM = 2.2


@dataclass(frozen=True)
class Anatomy:
    """One patient's geometry; signed distances are negative inside, approximate in mm away from the surface."""

    liver_axes: np.ndarray
    tumour_centre: np.ndarray
    tumour_radius: float
    tumour_axes: np.ndarray
    waves: np.ndarray
    vessels: np.ndarray
    baseline_hu: dict[str, float]


def patient_rng(seed: int, patient_id: str, purpose: str) -> np.random.Generator:
    """Generator of one patient and purpose; the same in whichever batch and order it is asked for."""
    key = int.from_bytes(hashlib.sha256(f"{patient_id}/{purpose}".encode()).digest()[:8], "big")
    return np.random.default_rng([seed, key])


def draw_anatomy(diameter_mm: float, rng: np.random.Generator) -> Anatomy:
    """Liver, tumour of the given largest diameter and vessels; one tumour in four touches the capsule."""
    liver_axes = np.array([52.0, 44.0, 40.0]) * rng.uniform(0.95, 1.05, 3)
    # The waves on its surface lengthen the largest diameter of a ball by about this factor.
    radius = diameter_mm / 2 / 1.035
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    if rng.random() < 0.25:
        centre = direction * (liver_axes - radius - rng.uniform(-3.0, 3.0))
    else:
        centre = direction * (liver_axes - radius - RIM_MM - 3.0) * rng.uniform(0.0, 0.9)
    waves = np.concatenate([rng.normal(0, 1.8, (4, 3)), rng.uniform(0, 2 * np.pi, (4, 1))], axis=1)
    vessels = []
    while len(vessels) < 4:
        point = rng.uniform(-0.7, 0.7, 3) * liver_axes
        axis = rng.standard_normal(3)
        axis /= np.linalg.norm(axis)
        # Vessels stay out of tumour and rim, where they would drown the planted enhancement.
        if np.linalg.norm(np.cross(centre - point, axis)) > radius + RIM_MM + 6:
            vessels.append(np.concatenate([point, axis, [rng.uniform(1.5, 3.0)]]))
    baseline = {f"{phase}_{part}": rng.normal(0, sd) for phase in PHASES for part, sd in (("liver", 3), ("tumour", 6))}
    return Anatomy(liver_axes, centre, radius, rng.uniform(0.93, 1.03, 3), waves, np.array(vessels), baseline)


def grid_points(scanner: Scanner, shift: np.ndarray) -> np.ndarray:
    """Voxel centres (3, z, y, x) in mm about the middle of the volume, moved by `shift` (x, y, z)."""
    axes = [
        ((np.arange(n) - (n - 1) / 2) * s - d).astype(np.float32)
        for n, s, d in zip(scanner.size, scanner.spacing, shift, strict=True)
    ]
    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    return np.stack([x, y, z])


def tumour_distance(anatomy: Anatomy, points: np.ndarray, extra_waves: np.ndarray | None = None) -> np.ndarray:
    """Signed distance (z, y, x) to the tumour's surface: an ellipsoid with a few waves, more for a second reader."""
    scale = (anatomy.tumour_radius * anatomy.tumour_axes).astype(np.float32)
    q = (points - anatomy.tumour_centre.astype(np.float32)[:, None, None, None]) / scale[:, None, None, None]
    level = np.sqrt((q**2).sum(axis=0))
    waves = anatomy.waves if extra_waves is None else np.concatenate([anatomy.waves, extra_waves])
    bumps = sum(np.sin(w[0] * q[0] + w[1] * q[1] + w[2] * q[2] + w[3]) for w in waves.astype(np.float32))
    return (level - 1 - 0.04 * bumps) * np.float32(anatomy.tumour_radius)


def liver_distance(anatomy: Anatomy, points: np.ndarray) -> np.ndarray:
    q = points / anatomy.liver_axes.astype(np.float32)[:, None, None, None]
    return (np.sqrt((q**2).sum(axis=0)) - 1) * np.float32(anatomy.liver_axes.min())


def render(
    anatomy: Anatomy,
    scanner: Scanner,
    phase: str,
    points: np.ndarray,
    heterogeneity: float,
    rim_enhancement: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """CT volume (z, y, x) int16 HU of one phase.

    The amplitude of the tumour's texture rises with `heterogeneity`; mean and texture of the 10 mm rim rise with
    `rim_enhancement`, fully in the arterial phase and weakly in the portal one.
    """
    contrast = CONTRAST[phase]
    liver_d = liver_distance(anatomy, points)
    tumour_d = tumour_distance(anatomy, points)
    liver_hu = contrast["liver"] + anatomy.baseline_hu[f"{phase}_liver"]
    tumour_hu = contrast["tumour"] + anatomy.baseline_hu[f"{phase}_tumour"]

    image = np.where(liver_d < 0, np.float32(liver_hu), np.float32(FAT_HU))
    image[(liver_d > 14) & (points[0] < 0)] = AIR_HU
    for vessel in anatomy.vessels.astype(np.float32):
        offset = points - vessel[:3, None, None, None]
        along = np.tensordot(vessel[3:6], offset, axes=1)
        inside = (offset**2).sum(axis=0) - along**2 < vessel[6] ** 2
        image[inside & (liver_d < -2)] = contrast["vessel"]

    # Softplus: almost linear in the factor over its range, never negative.
    shown = contrast["rim"]
    texture = (12 if phase == "AP" else 10) * np.logaddexp(0, heterogeneity + 2.0)
    rim_mean = shown * (16 + 12 * rim_enhancement)
    rim_texture = 3 + shown * 5 * np.logaddexp(0, rim_enhancement + 1.5)
    in_rim = (tumour_d >= 0) & (tumour_d < RIM_MM) & (liver_d < 0)
    in_tumour = tumour_d < 0
    image[in_rim] += (rim_mean + rim_texture * _field(in_rim, scanner, rng)[in_rim]).astype(np.float32)
    image[in_tumour] = (tumour_hu + texture * _field(in_tumour, scanner, rng)[in_tumour]).astype(np.float32)

    image = gaussian_filter(image, [scanner.blur_mm / s for s in scanner.spacing[::-1]], truncate=3)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noise = gaussian_filter(noise, [scanner.noise_blur_mm / s for s in scanner.spacing[::-1]], truncate=3)
    image += scanner.noise_hu / noise.std() * noise
    return np.clip(np.rint(image), -1024, 3071).astype(np.int16)


def _field(region: np.ndarray, scanner: Scanner, rng: np.random.Generator) -> np.ndarray:
    """Smooth Gaussian field of unit variance within `region`, computed on the region's box only."""
    field = np.zeros(region.shape, dtype=np.float32)
    if not region.any():
        return field
    box = tuple(slice(i.min(), i.max() + 1) for i in np.nonzero(region))
    values = rng.standard_normal(field[box].shape, dtype=np.float32)
    values = gaussian_filter(values, [TEXTURE_MM / s for s in scanner.spacing[::-1]], truncate=3)
    inside = values[region[box]]
    field[box] = (values - inside.mean()) / inside.std() if inside.size > 1 else values
    return field


def read_tumour(anatomy: Anatomy, points: np.ndarray, reader: str, rng: np.random.Generator) -> np.ndarray:
    """Mask (z, y, x) uint8 of one reading: reader1 nearly true, reader2 shifted, swollen or shrunk and bumpier."""
    if reader == "reader1":
        return (tumour_distance(anatomy, points) < rng.normal(0, 0.15)).astype(np.uint8)
    shift = rng.normal(0, 0.6, 3).astype(np.float32)[:, None, None, None]
    bumps = np.concatenate([rng.normal(0, 3.0, (3, 3)), rng.uniform(0, 2 * np.pi, (3, 1))], axis=1)
    return (tumour_distance(anatomy, points + shift, bumps) < rng.normal(0, 0.8)).astype(np.uint8)


def scan_of(scanner: Scanner, rng: np.random.Generator) -> Scanner:
    """One patient's own acquisition on a centre's scanner: noise and blur vary from patient to patient."""
    noise, blur, noise_blur = np.exp(rng.normal(0, SCAN_VARIATION, 3))
    return replace(
        scanner,
        noise_hu=scanner.noise_hu * noise,
        blur_mm=scanner.blur_mm * blur,
        noise_blur_mm=scanner.noise_blur_mm * noise_blur,
    )


def write_patient(rows: pd.DataFrame, truth: pd.Series, seed: int, root: Path) -> list[Path]:
    """Write all images and masks of one patient; `rows` are its manifest rows, paths relative to `root`.

    Returns the files written, in order. The defects of `truth` that live in images are planted here.
    """
    patient_id, defect = truth["patient_id"], truth["defect"]
    scanner = scan_of(SCANNERS[truth["centre"]], patient_rng(seed, patient_id, "scan"))
    anatomy = draw_anatomy(float(truth["tumour_diameter_mm"]), patient_rng(seed, patient_id, "anatomy"))
    written: list[Path] = []

    def save(name: str, write: Callable[[Path], list[Path] | None]) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        written.extend(write(path) or [path])

    for phase, readings in rows.groupby("phase", sort=True):
        rng = patient_rng(seed, patient_id, phase)
        # Breath holds differ between the phases.
        points = grid_points(scanner, rng.normal(0, 1.0, 3))
        factors = float(truth["heterogeneity"]), float(truth["rim_enhancement"])
        image = render(anatomy, scanner, phase, points, *factors, rng)
        # Drawn 1 mm inside the blurred capsule; a liver mask holds its tumour, bulging parts included.
        liver = np.minimum(liver_distance(anatomy, points) + 1, tumour_distance(anatomy, points))
        liver = (liver < 0).astype(np.uint8)
        first = readings.iloc[0]
        dicom = not Path(first["image"]).suffix
        if dicom:
            series = write_ct_series(image, scanner, patient_id, phase, root / first["image"])
            written.extend(series)
        else:
            save(first["image"], lambda path, image=image: _write_volume(image, scanner, path))
        if isinstance(first["liver_mask"], str) and first["liver_mask"] != first["mask"]:
            save(first["liver_mask"], lambda path, liver=liver: _write_volume(liver, scanner, path))
        for row in readings.itertuples():
            tumour = read_tumour(anatomy, points, row.reader, patient_rng(seed, patient_id, f"{phase}/{row.reader}"))
            if dicom:
                masks = {row.mask_label: tumour, row.liver_label: liver}
                write_masks = write_seg if row.mask.endswith("_seg.dcm") else write_rtstruct
                save(row.mask, lambda path, m=masks, w=write_masks, s=series, r=row.reader: w(m, s, r, path))
            elif row.liver_mask == row.mask:
                labels = np.where(tumour == 1, int(row.mask_label), int(row.liver_label) * liver).astype(np.uint8)
                save(row.mask, lambda path, labels=labels: _write_volume(labels, scanner, path))
            elif defect != "mask_missing":
                grid = scanner
                if defect == "mask_empty":
                    tumour = np.zeros_like(tumour)
                elif defect == "mask_other_grid":
                    # Drawn on a reconstruction with twice the pixel size.
                    tumour = np.ascontiguousarray(tumour[:, ::2, ::2])
                    x, y, z = scanner.spacing
                    grid = Scanner((2 * x, 2 * y, z), scanner.size, scanner.kernel, 0, 0, 0)
                save(row.mask, lambda path, tumour=tumour, grid=grid: _write_volume(tumour, grid, path))
    return written


def _write_volume(array: np.ndarray, scanner: Scanner, path: Path) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(scanner.spacing)
    image.SetOrigin(ORIGIN)
    with whole_file(path) as partial:
        sitk.WriteImage(image, str(partial), useCompression=True, compressionLevel=1)
