"""ComBat for features of several training centres: fitted on training rows, frozen, one reference centre.

Location and scale by empirical Bayes (Johnson, Li & Rabinovic 2007, Biostatistics 8:118), with a reference batch (Stein
et al. 2015): features become what the reference centre would have measured. There are no covariates: the outcome can
never be among them. Own code because neuroCombat (the usual library) cannot be applied to new rows of a reference
model, needs a numpy before 1.24 and has had no release since 2021; a test holds this to its values.

A centre that was not in training has no parameters: an error, or what `unseen_centre` declares.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recur.statistics.estimate import NotEstimable

MIN_OF_CENTRE = 5  # training patients of a centre, for a mean and a variance
MIN_UNSEEN = 20  # patients of a new centre, for its own location and scale without shrinkage
CONVERGED = 1e-10


def usable_in_every_centre(x: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(p,) whether a feature varies within every centre: only then it has a scale there."""
    spread = [x[centre == name].std(axis=0) for name in np.unique(centre)]
    return np.min(spread, axis=0) > 1e-12 * np.maximum(1, np.abs(x).max(axis=0, initial=0))


def learn_combat(x: np.ndarray, centre: np.ndarray | None, settings: dict[str, Any]) -> dict[str, Any]:
    """ComBat of features x (n, p) of patients of centre (n,): kind, reference, mean and sd (p,) of the reference, and
    per other centre shift and scale (p,).

    kind `none`, with a note, where it is not wanted or training has one centre only (docs/methods.md 5.2).
    Raises NotEstimable for a centre of fewer than 5 patients.
    """
    if settings["kind"] == "none":
        return {"kind": "none", "note": ""}
    names, counts = np.unique(centre.astype(str), return_counts=True)
    if len(names) < 2:
        return {"kind": "none", "note": "one training centre: its effect cannot be told from the patients'"}
    for name, count in zip(names.tolist(), counts, strict=True):
        if count < MIN_OF_CENTRE:
            raise NotEstimable(
                f"harmonisation: centre {name!r} has {count} training patients, fewer than {MIN_OF_CENTRE}"
            )
    reference = settings["reference"] or str(names[np.argmax(counts)])
    if reference not in names:
        raise NotEstimable(f"harmonisation.reference: no training patient is of centre {reference!r}")
    own = x[centre == reference]
    mean, sd = own.mean(axis=0), own.std(axis=0)
    z = (x - mean) / sd
    centres = {str(name): posterior(z[centre == name]) for name in names if name != reference}
    return {"kind": "combat", "reference": reference, "mean": mean, "sd": sd, "centres": centres}


def posterior(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shift and scale (p,) of one centre's standardised features (n, p), shrunk towards their distribution over
    features (normal for shifts, inverse gamma for variances; Johnson 2007, equations 3.1).
    """
    count, shift, variance = len(z), z.mean(axis=0), z.var(axis=0, ddof=1)
    if z.shape[1] < 3:  # no distribution over features to shrink to
        return shift, np.sqrt(variance)
    prior, tau2 = shift.mean(), shift.var(ddof=1)
    m, s2 = variance.mean(), variance.var(ddof=1)
    a, b = (2 * s2 + m**2) / s2, (m * s2 + m**3) / s2
    new_shift, new_variance = shift, variance
    for _ in range(1000):
        old = new_shift, new_variance
        new_shift = (tau2 * count * shift + new_variance * prior) / (tau2 * count + new_variance)
        new_variance = (0.5 * ((z - new_shift) ** 2).sum(axis=0) + b) / (count / 2 + a - 1)
        if max(np.abs(new_shift - old[0]).max(), np.abs(new_variance / old[1] - 1).max()) < CONVERGED:
            break
    return new_shift, np.sqrt(new_variance)


def apply_combat(combat: dict[str, Any], x: np.ndarray, centre: np.ndarray | None) -> np.ndarray:
    """Features (n, p) as the reference centre would have measured them.

    unseen_centre `none` leaves the rows of an unknown centre as they are; `features_only` takes location and scale from
    its own rows (features, never outcomes) and needs 20 of them, so that it refuses a single patient.
    Raises NotEstimable for an unknown centre otherwise.
    """
    if combat["kind"] == "none":
        return x
    if centre is None:
        raise NotEstimable("harmonisation: the centre of the patients is needed")
    mean, sd = np.asarray(combat["mean"]), np.asarray(combat["sd"])
    result = np.array(x, float)
    for name in np.unique(centre.astype(str)).tolist():
        rows = centre == name
        if name == combat["reference"]:
            continue
        if name in combat["centres"]:
            shift, scale = map(np.asarray, combat["centres"][name])
        elif combat["unseen_centre"] == "none":
            continue
        elif combat["unseen_centre"] == "features_only":
            if rows.sum() < MIN_UNSEEN:
                raise NotEstimable(
                    f"harmonisation: centre {name!r} is new and has {rows.sum()} patients; its location and scale need "
                    f"{MIN_UNSEEN}"
                )
            z = (x[rows] - mean) / sd
            shift, scale = z.mean(axis=0), z.std(axis=0, ddof=1)
        else:
            raise NotEstimable(
                f"harmonisation: centre {name!r} was not in training; declare harmonisation.unseen_centre (none or "
                "features_only) or leave it out"
            )
        result[rows] = ((x[rows] - mean) / sd - shift) / scale * sd + mean
    return result


def frozen_combat(combat: dict[str, Any], columns: np.ndarray, settings: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the chosen columns only, JSON-ready, with what an unseen centre means."""
    if combat["kind"] == "none":
        return combat
    centres = {
        name: [shift[columns].tolist(), scale[columns].tolist()] for name, (shift, scale) in combat["centres"].items()
    }
    chosen = {"mean": combat["mean"][columns].tolist(), "sd": combat["sd"][columns].tolist(), "centres": centres}
    return {"kind": "combat", "reference": combat["reference"], "unseen_centre": settings["unseen_centre"]} | chosen
