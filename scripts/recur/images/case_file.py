"""The one cropped case of images and features: its arrays and facts, and its file."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk

from recur.tables import StudyError, whole_file

TUMOUR, RIM, LIVER = 1, 2, 4  # bits of the label map
BITS = {"tumour": TUMOUR, "rim": RIM, "liver": LIVER}
FURTHER = (8, 16, 32, 64)  # of the further rims, in the order of the study file
CLIP = 128  # where a rim may lie: what perturbed masks need to make their rims again; no region of its own


class Case(NamedTuple):
    """A cropped image with its regions, on the voxel lattice of the whole image.

    Arrays of voxels are (z, y, x); the geometry is in x, y, z order, as SimpleITK's.
    """

    image: np.ndarray  # float32, HU or what normalisation made of the grey values
    labels: np.ndarray  # uint8 of bits, named in facts["regions"]
    spacing: np.ndarray  # (3,) mm
    direction: np.ndarray  # (9,)
    full_size: np.ndarray  # (3,) voxels of the whole image
    offset: np.ndarray  # (3,) index of the crop's first voxel in the whole image
    full_origin: np.ndarray  # (3,) mm, of the whole image
    # the columns of the case table that are measured with the case, and regions (name -> bit), rims (name -> [inner,
    # outer] mm), region_table (a row a region); features need regions, and take a CT in HU where nothing else is said
    facts: dict[str, Any]

    @property
    def origin(self) -> np.ndarray:
        """Where the crop's first voxel lies, (3,) mm."""
        affine = self.direction.reshape(3, 3) * self.spacing
        return self.full_origin + affine @ self.offset


def placed(array: np.ndarray, case: Case, origin: np.ndarray) -> sitk.Image:
    """A (z, y, x) array as an image with the case's spacing and direction, its first voxel at `origin` (3,) mm."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(case.spacing.tolist())
    image.SetDirection(case.direction.tolist())
    image.SetOrigin(origin.tolist())
    return image


def case_image(case: Case) -> sitk.Image:
    """The cropped image for ITK and pyradiomics (float32)."""
    return placed(case.image, case, case.origin)


def save_case(case: Case, path: Path) -> None:
    """Write the case as .npz, equal bytes for equal cases, under a temporary name first.

    Deflated at the lowest level: a third of the size; higher levels gain another tenth for ten times the time.
    """
    arrays = case._asdict() | {"facts": np.frombuffer(json.dumps(case.facts).encode(), dtype=np.uint8)}
    compressed = {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 1}
    with whole_file(path) as partial, zipfile.ZipFile(partial, "w", **compressed) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:  # a name, not a file, has a fixed date
                np.lib.format.write_array(stream, array, allow_pickle=False)


def load_case(path: Path) -> Case:
    """Read a stored case; raises StudyError when the file is missing or damaged: no fault of the patient's."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in Case._fields}
        return Case(**arrays | {"facts": json.loads(arrays["facts"].tobytes())})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise StudyError(
            f"{path.name}: not a readable case ({type(error).__name__}); make it again: snakemake --forcerun cases"
        ) from None
