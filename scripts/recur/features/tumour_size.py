"""Which column of a feature table is the tumour's size or volume."""

from __future__ import annotations

import re
from collections.abc import Iterable

from recur.features.cells import few
from recur.tables import StudyError

TUMOUR = {"tumour", "tumor", "lesion", "gtv"}
SHELLS = ("rim", "ring", "shell", "margin", "peri")
ORGANS = {"liver", "background", "healthy", "parenchyma", "spleen", "body", "organ", "lung"}
MEASURES = {"size": "original_shape_Maximum3DDiameter", "volume": "original_shape_MeshVolume"}


def burden_column(names: list[str], target: str, declared: str | None, phases: Iterable[str] = ()) -> str | None:
    """The column of the tumour's size (largest 3-D diameter) or volume (mesh) in a feature table; None if it has none.

    target: size or volume; declared: the column that the study names. Otherwise the only one whose prefix speaks of a
    tumour, or the only one at all whose prefix speaks of nothing else; several phases of one region are no doubt, the
    first of `phases` is taken, or the first by name. Raises StudyError, with the candidates, where several regions or
    none in particular could be meant, and for a declared column that is not there.
    """
    if declared is not None:
        if declared not in names:
            raise StudyError(f"features.tumour_{target}: {declared!r} is no feature column of the table; name one")
        return declared
    candidates = [name for name in names if name.endswith(MEASURES[target])]
    words = {name: prefix_words(name.removesuffix(MEASURES[target])) for name in candidates}
    candidates = [name for name in candidates if not beside(words[name])]
    candidates = [name for name in candidates if TUMOUR & set(words[name])] or candidates
    place = {phase.casefold(): number for number, phase in enumerate(phases)}
    if len({region_words(words[name], place) for name in candidates}) > 1:
        raise StudyError(
            f"features: {len(candidates)} columns could be the tumour's {target}: {few(sorted(candidates))}; name the "
            f"right one (features.tumour_{target}), or a clinical variable (clinical.tumour_{target})"
        )
    candidates.sort(key=lambda name: (min([place.get(word, len(place)) for word in words[name]], default=0), name))
    return candidates[0] if candidates else None


def region_words(words: list[str], phases: dict[str, int]) -> tuple[str, ...]:
    """The words of a prefix without the phase: one that the study names, or the first before a tumour's name."""
    if len(words) == 2 and words[1] in TUMOUR:
        return (words[1],)
    return tuple(word for word in words if word not in phases)


def prefix_words(prefix: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", prefix.casefold()) if word]


def beside(words: list[str]) -> bool:
    """Whether a prefix means something other than the tumour: Liver, tumour_rim5, peritumoral; not liver_tumour."""
    organ = bool(ORGANS & set(words)) and words[-1] not in TUMOUR
    return organ or any(word.startswith(SHELLS) for word in words)
