"""How features enter the signature: a transform against heavy tails, mean 0 and SD 1, a limit; all learnt in training.

Energies, zone emphases and counts of pyradiomics differ a millionfold between patients. Untransformed, one of them lies
at a dozen SD, and a fold that does not hold it sees it at thousands.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

KINDS = ("none", "signed_log", "yeo_johnson", "robust")
POWERS = np.linspace(-2, 4, 61)  # of Yeo and Johnson, first; then finer around the best
QUARTILES_OF_NORMAL = 1.3489795  # the interquartile range of a standard normal, in SD


class Scaling(NamedTuple):
    """What was learnt for p features; arrays (p,). A feature becomes f((x - centre) / scale), then (f - mean) / sd."""

    kind: str
    centre: np.ndarray
    scale: np.ndarray
    power: np.ndarray  # of Yeo and Johnson; 1 changes nothing
    mean: np.ndarray
    sd: np.ndarray
    limit: float | None  # z-scores beyond it are set to it: one wild value must not decide a patient's score

    def apply(self, x: np.ndarray) -> np.ndarray:
        """z-scores (n, p) of features (n, p)."""
        z = (_transformed(x, self) - self.mean) / self.sd
        return z if self.limit is None else np.clip(z, -self.limit, self.limit)

    def frozen(self, column: int) -> dict[str, Any]:
        """What a signature keeps of one feature, JSON-ready."""
        kept = {"mean": float(self.mean[column]), "sd": float(self.sd[column])}
        if self.kind != "none":
            kept["transform"] = {
                "kind": self.kind,
                "centre": float(self.centre[column]),
                "scale": float(self.scale[column]),
            }
        if self.kind == "yeo_johnson":
            kept["transform"]["power"] = float(self.power[column])
        return kept


def learn_scaling(x: np.ndarray, kind: str, limit: float | None) -> Scaling:
    """Learn the transform and scale of features (n, p) that all vary; SD as glmnet's (1/n).

    none: as they are. signed_log: sign(x) log(1 + |x| / s), s the median of |x| in training, so that units do not
    matter. yeo_johnson: Yeo & Johnson 2000 on robustly scaled values, the most likely power to two digits between -2
    and 4 (own search over all features at once: scipy's optimiser takes one at a time, which resamples repeat a million
    times; the log-likelihood is within 0.01 of scipy's: tests/statistics/test_scaling.py). robust: median and
    interquartile range (in SD of a normal) in place of mean and SD. A feature of which half is one value keeps mean
    and SD.
    """
    count = x.shape[1]
    centre, scale, power = np.zeros(count), np.ones(count), np.ones(count)
    if kind == "signed_log":
        scale = np.median(np.abs(x), axis=0)
        scale = np.where(scale > 0, scale, np.abs(x).mean(axis=0))
    if kind in ("yeo_johnson", "robust"):
        low, centre, high = np.percentile(x, [25, 50, 75], axis=0)
        scale = (high - low) / QUARTILES_OF_NORMAL
        flat = scale <= 1e-12 * np.abs(x).max(axis=0)
        centre = np.where(flat, x.mean(axis=0), centre)
        scale = np.where(flat, x.std(axis=0), scale)
    scale = np.where(scale > 0, scale, 1.0)
    learnt = Scaling(kind, centre, scale, power, np.zeros(count), np.ones(count), limit)
    if kind == "yeo_johnson":
        learnt = learnt._replace(power=best_power((x - centre) / scale))
    if kind == "robust":
        return learnt
    made = _transformed(x, learnt)
    sd = made.std(axis=0)
    return learnt._replace(mean=made.mean(axis=0), sd=np.where(sd > 0, sd, 1.0))


def scaling_of(features: list[dict[str, Any]], limit: float | None) -> Scaling:
    """The scaling of a frozen signature's features. One frozen before there were transforms has none."""
    transforms = [feature.get("transform", {}) for feature in features]
    kinds = {transform.get("kind", "none") for transform in transforms} or {"none"}
    (kind,) = kinds

    def column(key: str, default: float) -> np.ndarray:
        return np.array([transform.get(key, default) for transform in transforms], float)

    mean, sd = (np.array([feature[key] for feature in features], float) for key in ("mean", "sd"))
    return Scaling(kind, column("centre", 0.0), column("scale", 1.0), column("power", 1.0), mean, sd, limit)


def _transformed(x: np.ndarray, learnt: Scaling) -> np.ndarray:
    if learnt.kind == "none":
        return x
    z = (x - learnt.centre) / learnt.scale
    if learnt.kind == "signed_log":
        return np.sign(z) * np.log1p(np.abs(z))
    if learnt.kind == "yeo_johnson":
        return yeo_johnson(z, learnt.power)
    return z


def yeo_johnson(z: np.ndarray, power: np.ndarray) -> np.ndarray:
    """The transform of Yeo & Johnson (Biometrika 2000) of values (n, p) by powers (p,)."""
    power = np.broadcast_to(power, z.shape)
    up, down = np.log1p(np.maximum(z, 0)), np.log1p(np.maximum(-z, 0))
    back = 2 - power
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        positive = np.where(np.abs(power) < 1e-12, up, np.expm1(power * up) / np.where(power == 0, 1, power))
        negative = np.where(np.abs(back) < 1e-12, -down, -np.expm1(back * down) / np.where(back == 0, 1, back))
    return np.where(z >= 0, positive, negative)


def best_power(z: np.ndarray) -> np.ndarray:
    """The power (p,) of Yeo and Johnson that makes each column of z (n, p) most nearly normal (profile likelihood)."""
    slope = (np.sign(z) * np.log1p(np.abs(z))).sum(axis=0)

    def likelihood(power: np.ndarray) -> np.ndarray:
        made = yeo_johnson(z, power)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            value = -len(z) / 2 * np.log(made.var(axis=0)) + (power - 1) * slope
        return np.where(np.isfinite(value), value, -np.inf)

    best = np.ones(z.shape[1])
    for grid in (POWERS, np.linspace(-0.1, 0.1, 21)):
        tried = [best + step if grid is not POWERS else np.full(z.shape[1], step) for step in grid]
        values = np.array([likelihood(power) for power in tried])
        best = np.array(tried)[values.argmax(axis=0), np.arange(z.shape[1])]
    return np.round(best, 2)
