"""Which slices of a series are one volume: by orientation and size, then by what tells apart slices at one position."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from recur.images.acquisition import number
from recur.images.dicom.pixels import pixels
from recur.images.dicom.slices import SPLIT_BY, Slice
from recur.images.flags import flag
from recur.images.grid import DIRECTION_TOLERANCE


def start_of(slices: Sequence[Slice]) -> float | None:
    """Whole seconds of the first slice, so that the reconstructions of one scan share it."""
    times = [s.time for s in slices if s.time is not None]
    return float(np.floor(min(times))) if times else None


def parts_of(slices: list[Slice], name: str) -> tuple[list[list[Slice]], list[str]]:
    """The slices of a series as volumes: by orientation and size, then by what tells apart slices at one position."""
    flat: list[tuple[np.ndarray, list[Slice]]] = []
    for one in slices:
        shape = np.array([*one.cosines, *one.pixel, *one.size])
        for known, members in flat:
            if np.abs(known - shape).max() <= DIRECTION_TOLERANCE * 10:
                members.append(one)
                break
        else:
            flat.append((shape, [one]))
    parts, notes = [], []
    for _, members in sorted(flat, key=lambda group: (start_of(group[1]) or 0, *group[0])):
        unique, twice = _without_copies(members, name)
        if twice:
            notes.append(flag("copied", f"{twice} identical duplicate slices left out"))
        parts += _split(unique)
    return parts, notes


def along_normal(slices: Sequence[Slice]) -> np.ndarray:
    """Position of each slice along the normal of the first (mm)."""
    row, column = np.reshape(slices[0].cosines, (2, 3))
    return np.array([s.position for s in slices]) @ np.cross(row, column)


def _places(slices: Sequence[Slice]) -> dict[int, list[Slice]]:
    """Slices by position; two within a hundredth of a mm are at one."""
    groups: dict[int, list[Slice]] = {}
    along = along_normal(slices)
    order = np.argsort(along, kind="stable")
    place = np.concatenate([[0], np.cumsum(np.diff(along[order]) > 0.01)])
    for at, i in zip(place, order, strict=True):
        groups.setdefault(int(at), []).append(slices[i])
    return groups


def _without_copies(slices: list[Slice], name: str) -> tuple[list[Slice], int]:
    """The slices without those whose position, rescaling and pixels another one has already."""
    kept = []
    dropped = 0
    for group in _places(slices).values():
        seen: set[tuple[Any, ...]] = set()
        for one in group:
            key = (one.slope, one.intercept, next(pixels([one], name)).tobytes()) if len(group) > 1 else ()
            if key in seen:
                dropped += 1
            else:
                seen.add(key)
                kept.append(one)
    return kept, dropped


def _split(slices: list[Slice]) -> list[list[Slice]]:
    """The volumes of slices of one orientation: by the first mark, or the fewest marks together, that tell them apart.

    Slices that share a position are of several volumes, and so are slices whose mark alternates along the stack: two
    phases may lie half a slice apart. A mark that grows along the stack (step and shoot) makes no other volume. Without
    such a mark by time, where the volumes follow one another; else all as they are.
    """
    places = list(_places(slices).values())
    most = max(len(group) for group in places)
    varying = [m for m in range(len(SPLIT_BY)) if len({one.marks[m] for one in slices}) > 1]
    chosen = [(mark,) for mark in varying]
    if most > 1:
        chosen += [marks for count in range(2, len(varying) + 1) for marks in combinations(varying, count)]
    for marks in chosen:
        groups: dict[tuple[str, ...], list[Slice]] = {}
        for one in slices:
            groups.setdefault(tuple(one.marks[m] for m in marks), []).append(one)
        if _are_volumes(list(groups.values()), most):
            return [groups[key] for key in sorted(groups, key=lambda k: [(number(mark) or 0, mark) for mark in k])]
    return _split_by_time(slices, places, most)


def _are_volumes(groups: list[list[Slice]], most: int) -> bool:
    """Whether groups of slices, of which `most` share a position, are volumes of their own."""
    if not all(len(place) == 1 for group in groups for place in _places(group).values()):
        return False
    if most == 1:
        return _interleaved(groups)
    if len(groups) == most:
        return True
    extents = [np.ptp(along_normal([groups[0][0], *group])[1:]) for group in groups]  # some lie between the others
    return len(groups) > most and min(extents) > 0.5 * max(extents)


def _split_by_time(slices: list[Slice], places: list[list[Slice]], most: int) -> list[list[Slice]]:
    """Volumes that follow one another in time; else all slices as they are.

    Slices of a CT that take turns at a few times are two scans; those of an MR are a scan in several breath-holds.
    """
    if any(one.time is None for one in slices):
        return [slices]
    if most == 1:
        groups: dict[float, list[Slice]] = {}
        for one in slices:
            groups.setdefault(one.time, []).append(one)
        return list(groups.values()) if slices[0].ct and _interleaved(list(groups.values())) else [slices]
    if all(len(group) == most for group in places):
        volumes = list(zip(*(sorted(group, key=lambda s: s.time) for group in places), strict=True))
        ends = [(min(s.time for s in volume), max(s.time for s in volume)) for volume in volumes]
        if all(before[1] < after[0] for before, after in pairwise(ends)):
            return [list(volume) for volume in volumes]
    return [slices]


def _interleaved(groups: list[list[Slice]]) -> bool:
    """Whether slices of several groups, all at positions of their own, take turns along the stack.

    Blocks that follow one another, also with some overlap (step and shoot), do not, nor do a few odd slices in a stack.
    """
    smallest = min(len(group) for group in groups)
    if smallest < 2:
        return False
    along = along_normal([one for group in groups for one in group])
    owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    turns = int(np.count_nonzero(np.diff(owner[np.argsort(along, kind="stable")])))
    if turns <= len(groups) - 1:
        return False
    begin = np.cumsum([0, *(len(group) for group in groups)])
    placed = [np.sort(along[low:high]) for low, high in pairwise(begin)]
    if smallest >= 3 and turns >= 2 * smallest - 2:
        return True
    return turns >= smallest and all(np.ptp(np.diff(place)) <= 0.1 * np.diff(place).mean() for place in placed)
