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
    """The change that a variant's name stands for, with all it depends on.

    name: of a negative control, else of a perturbed reading; perturbations: their settings.
    """
    if name in controls.CONTROLS:
        return Variant({"variant": name, "seed": seed}, _code(controls.__file__), _control(name))
    kinds = perturbations["kinds"]
    settings = {"variant": name, "seed": seed, "kinds": kinds}
    return Variant(settings, _code(perturb.__file__), _reading(kinds))


def _code(module: str) -> list[str]:
    return [digest for digest, _ in checksums(closure(module, within=Path(module).parent))]


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
