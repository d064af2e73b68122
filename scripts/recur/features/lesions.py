"""Several lesions of a patient, extracted one by one, as one row of features."""

from __future__ import annotations

import warnings

import numpy as np


def aggregated(lesions: list[dict[str, float]], volumes: list[float], how: str) -> dict[str, float]:
    """One patient's features from those of the lesions, largest lesion first; `volumes` of the tumours weigh the mean.

    how: volume_weighted_mean, mean, max or largest. A value that a lesion does not have (NaN, or no such rim) is
    passed over; one that no lesion has is NaN.
    """
    names = list(dict.fromkeys(name for lesion in lesions for name in lesion))
    if how == "largest" or len(lesions) == 1:
        return {name: lesions[0].get(name, np.nan) for name in names}
    values = np.array([[lesion.get(name, np.nan) for name in names] for lesion in lesions])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all-NaN columns stay NaN
        if how == "max":
            result = np.nanmax(values, axis=0)
        else:
            weights = np.array(volumes if how == "volume_weighted_mean" else [1.0] * len(lesions))[:, None]
            weights = np.where(np.isfinite(values), weights, 0)
            result = np.nansum(values * weights, axis=0) / weights.sum(axis=0)
    return dict(zip(names, map(float, result), strict=True))
