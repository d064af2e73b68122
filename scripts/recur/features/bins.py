"""Grey-level bins: pyradiomics' own edges, and those of the IBSI reference manual."""

from __future__ import annotations

from typing import Any

import numpy as np


def bin_edges(values: np.ndarray, settings: dict[str, Any]) -> np.ndarray:
    """Lower edges of the bins (and one more) of a region's intensities, for numpy.digitize.

    settings: pyradiomics' `binWidth` or `binCount`; `ibsi` True asks for the manual's bins (Zwanenburg 2016,
    arXiv:1612.07003, sections 2.7.1 and 2.7.2), whose fixed width starts at `binOrigin` (None: the region's minimum).
    Otherwise the edges are those of radiomics.imageoperations.getBinEdges 3.0.1, without its loop over the voxels.
    """
    low, high = values.min(), values.max()
    width, count = settings.get("binWidth", 25), settings.get("binCount")
    if not settings.get("ibsi"):
        if count is not None:
            edges = np.histogram_bin_edges(values, count)
        else:
            edges = np.arange(low - (low % width), high + 2 * width, width)
            if len(edges) == 1:
                return np.array([edges[0] - 0.5, edges[0] + 0.5])
    elif count is not None:
        if low == high:
            return np.array([low, low + 1.0])
        # multiplied before divided: an edge that is a whole number is met exactly
        edges = float(low) + np.arange(count + 1) * (float(high) - float(low)) / count
    else:
        origin = settings.get("binOrigin")
        origin = float(low if origin is None else origin)
        return origin + width * np.arange(int((high - origin) // width) + 2)
    if count is not None:
        edges[-1] += 1  # the maximum belongs to the last bin
    return edges
