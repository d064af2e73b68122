"""What is extracted again: perturbed readings (p1, p2, ...) and negative controls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recur.features.batch import Variant
from recur.images import controls, perturb
from recur.images.case_file import Case
from recur.sources import checksums, closure


def make_variant(name: str, perturbations: dict[str, Any], seed: int) -> Variant:
    """The change that a variant's name stands for, with all it depends on as its key.

    name: of a negative control, else of a perturbed reading; perturbations: their settings.
    """
    if name in controls.CONTROLS:
        return Variant(_key(name, seed, controls.__file__), _control(name))
    kinds = perturbations["kinds"]
    return Variant(_key(name, seed, perturb.__file__) | {"kinds": kinds}, _reading(kinds))


def _key(name: str, seed: int, module: str) -> dict[str, Any]:
    """A change depends on its seed and on the code that makes it."""
    code = closure(module, within=Path(module).parent)
    return {"variant": name, "seed": seed, "code": [digest for digest, _ in checksums(code)]}


def _control(name: str):
    def control(case: Case, rng: np.random.Generator) -> Case:
        image = controls.controlled(case.image, case.labels, case.facts["regions"], name, rng)
        return case._replace(image=image)

    return control


def _reading(kinds: list[str]):
    def reading(case: Case, rng: np.random.Generator) -> Case:
        image, labels = perturb.perturbed(case.image, case.labels, case.spacing, case.facts, kinds, rng)
        # turned regions may come near the crop's border: the crop is now the whole image
        size = np.array(image.shape[::-1])
        return case._replace(image=image, labels=labels, full_size=size, offset=0 * size, full_origin=case.origin)

    return reading
