"""The cases of the feature benchmarks: two synthetic livers, and the lung CT of pyradiomics with a derived phase."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from recur.images.regions import rims

SPACING = (0.75, 0.75, 2.5)  # mm, x y z
RIM_MM = 10.0
PHASES = ("art", "pv")


def write(folder: Path, like: sitk.Image, arrays: dict[str, np.ndarray]) -> None:
    """<name>.nii.gz of every array (z, y, x) in `folder`, and the rim of `tumour`, as files for the peers."""
    folder.mkdir(parents=True, exist_ok=True)
    shell = rims(arrays["tumour"] > 0, like.GetSpacing(), {"rim": (0.0, RIM_MM)}, {})["rim"].voxels
    for name, array in (arrays | {"rim": shell.astype(np.uint8)}).items():
        image = sitk.GetImageFromArray(array)
        image.CopyInformation(like)
        sitk.WriteImage(image, folder / f"{name}.nii.gz", True)


def liver(folder: Path, diameter: float, slices: int = 100, seed: int = 7) -> None:
    """512 x 512 CT of a body, a liver and an irregular tumour (diameter in mm), arterial and portal phase, int16."""
    shape = (slices, 512, 512)
    z, y, x = np.ogrid[:slices, :512, :512]
    middle = slices / 2
    body = (((x - 256) * 0.75 / 170) ** 2 + ((y - 256) * 0.75 / 130) ** 2) < 1 + 0 * z
    inside = (((x - 230) * 0.75 / 110) ** 2 + ((y - 250) * 0.75 / 90) ** 2 + ((z - middle) * 2.5 / 100) ** 2) < 1
    rng = np.random.default_rng(seed)

    def texture(sigma):
        made = gaussian_filter(rng.normal(size=shape).astype(np.float32), sigma)
        return made / made.std()

    fine, coarse = texture((1.2, 4, 4)), texture((3, 10, 10))
    away = np.sqrt(((z - middle) * 2.5) ** 2 + ((y - 250) * 0.75) ** 2 + ((x - 230) * 0.75) ** 2).astype(np.float32)
    tumour = (away + 1.5 * coarse < diameter / 2) & (away < diameter / 2 + 6)
    arrays = {"tumour": tumour.astype(np.uint8)}
    for phase, (tissue, parenchyma, lesion, contrast, noise) in zip(
        PHASES, ((30, 75, 105, 22, 17), (45, 115, 92, 18, 14)), strict=True
    ):
        hu = np.full(shape, -1000, np.float32)
        hu[body] = tissue
        hu[inside] = parenchyma
        hu = np.where(tumour, lesion + contrast * fine + 10 * coarse, hu + 8 * fine * inside)
        grain = gaussian_filter(rng.normal(size=shape).astype(np.float32), (0, 0.8, 0.8))
        grain *= noise / grain.std()
        hu = np.where(body, gaussian_filter(hu, (0, 0.8, 0.8)) + grain, hu + 0.3 * grain)
        arrays[phase] = np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
    like = sitk.Image(512, 512, slices, sitk.sitkUInt8)
    like.SetSpacing(SPACING)
    like.SetOrigin((-191.6, -190.2, 37.5))
    write(folder, like, arrays)


def lung2_source() -> tuple[Path, Path] | None:
    """Image and mask: the whole CT if $PYRADIOMICS_DATA has it (data/ of the source release), else the crop."""
    whole = Path(os.environ.get("PYRADIOMICS_DATA", "-"))
    cut = Path(os.environ.get("REFERENCE_DATA", "-"), "pyradiomics_testdata")
    for folder, suffix in ((whole, ""), (cut, "_cropped25mm")):
        files = folder / f"lung2_image{suffix}.nrrd", folder / f"lung2_label{suffix}.nrrd"
        if all(file.exists() for file in files):
            return files
    return None


def lung2(folder: Path, image: Path, mask: Path) -> None:
    """The real CT; its second phase is the first with smooth enhancement and noise."""
    like, region = sitk.ReadImage(image), sitk.ReadImage(mask)
    first = sitk.GetArrayFromImage(like).astype(np.float32)
    noise = np.random.default_rng(1).normal(0, 20, first.shape).astype(np.float32)
    second = np.where(first > -200, first * 1.1 + 20, first) + gaussian_filter(noise, 0.7)
    write(
        folder,
        like,
        {
            "tumour": (sitk.GetArrayFromImage(region) > 0).astype(np.uint8),
            "art": first.astype(np.int16),
            "pv": np.clip(np.rint(second), -1024, 3071).astype(np.int16),
        },
    )


def voxels(folder: Path) -> str:
    """Size of the image and of the two regions, for the table."""
    image = sitk.ReadImage(folder / "tumour.nii.gz")
    counts = [
        int((sitk.GetArrayFromImage(sitk.ReadImage(folder / f"{r}.nii.gz")) > 0).sum()) for r in ("tumour", "rim")
    ]
    return f"{'x'.join(map(str, image.GetSize()))} voxels, tumour {counts[0]}, rim {counts[1]}, 2 phases"
