"""Speed of the model side against its peers, same data, both sides in one run: `python bench/run.py models`.

One thread each unless a row says otherwise; seconds are CPU seconds of the work alone (imports, reading and compiling
are outside on both sides), so that other load on the machine does not count; with several threads, wall seconds. Where
a peer takes minutes it does a stated part of the work and its time is scaled. R is used when `Rscript` is found, else
the time once measured is quoted; so are the times of Python peers that `make bench-peers` has not installed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parents[1] / "results" / "cache" / "numba"))

import numpy as np
import pandas as pd
import yaml

from bench import common
from bench.worker import peak_mib
from recur.cohort.training import Training
from recur.fit.ranking import Forest, forest_importance, mrmr
from recur.fit.whole import fit
from recur.resampling.bootstrap import bootstrap_fit, resample_settings
from recur.resampling.nested import nested_predictions
from recur.statistics.agreement import icc_2_1
from recur.statistics.cox import univariable_cox
from recur.statistics.elastic_net import Penalty, cox_family, cross_validate, elastic_net_path
from recur.statistics.nested_concordance import bootstrap_concordance

ROOT = Path(__file__).parents[1]
Row = dict[str, Any]
CORES = 2


def row(name: str, peer: str, ours: float, theirs: float, size: str, difference: float | None = None) -> Row:
    """One line of the benchmark table, with this process's peak memory so far."""
    return common.row(name, peer, ours, theirs, max_rel_diff=difference, size=size, peak_mib=peak_mib())


def seconds(work: Callable[[], Any], repeats: int = 5) -> tuple[float, Any]:
    """Median CPU seconds of the work, and what it gave; the first call, which loads compiled code, is not counted."""
    value, spent = work(), []
    for _ in range(repeats):
        start = time.process_time()
        value = work()
        spent.append(time.process_time() - start)
    return float(np.median(spent)), value


def once(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of one call, for the slow sides."""
    start = time.process_time()
    value = work()
    return time.process_time() - start, value


def by_r(folder: Path, task: str, *arguments: str) -> dict[str, Any] | None:
    """What the R side did (cpu, wall, values), or None without R or its package."""
    if shutil.which("Rscript") is None:
        return None
    done = subprocess.run(["Rscript", str(ROOT / "bench" / "models.R"), str(folder), task, *arguments])
    return json.loads((folder / f"{task}.json").read_text()) if done.returncode == 0 else None


def by_python(folder: Path, peer: str, task: str, **data: np.ndarray) -> dict[str, Any] | None:
    """What a peer in its own environment did, or None without that environment."""
    python = ROOT / "results" / "bench" / "venv" / peer / "bin" / "python"
    if not python.exists():
        return None
    np.savez(folder / f"{task}.npz", **data)
    subprocess.run([python, str(ROOT / "bench" / "models_peers.py"), str(folder), task], check=True)
    return json.loads((folder / f"{task}.json").read_text())


def correlated(n: int, p: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standardised features (n, p) of 40 common factors, as correlated as radiomic ones; times with ties; events."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 40)) @ (rng.normal(size=(40, p)) * (rng.random((40, p)) < 0.15)) + rng.normal(size=(n, p))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    event_time, limit = rng.exponential(np.exp(-0.4 * x[:, :5].sum(axis=1))), rng.exponential(1.5, n)
    return x, np.round(np.minimum(event_time, limit), 2) + 0.01, event_time <= limit


def kkt_violation(x: np.ndarray, time: np.ndarray, event: np.ndarray, lambdas: np.ndarray, coef: np.ndarray) -> float:
    """Largest violation of a LASSO-Cox path's conditions as a share of its penalty, from the definition."""
    at_risk = time[None, :] >= time[event][:, None]  # (deaths, n)
    worst = 0.0
    for penalty, beta in zip(lambdas, coef.T, strict=True):
        weight = np.exp(x @ beta)
        residual = event - weight * (at_risk / (at_risk @ weight)[:, None]).sum(axis=0)
        gradient = x.T @ residual / len(time)
        miss = np.where(beta != 0, np.abs(gradient - penalty * np.sign(beta)), np.abs(gradient) - penalty)
        worst = max(worst, miss.max() / penalty)
    return worst


def lasso(folder: Path) -> Iterator[Row]:
    """LASSO-Cox with 10 folds, full path: at the accuracy that glmnet reaches, and at what the workflow uses."""
    x, time, event = correlated(160, 800, 0)
    fold = np.random.default_rng(1).permutation(np.arange(160) % 10)
    pd.DataFrame(x).to_csv(folder / "lasso_x.csv", index=False)
    pd.DataFrame({"time": time, "event": event.astype(int), "fold": fold + 1}).to_csv(
        folder / "lasso_y.csv", index=False
    )
    lambdas = None
    for threshold, quoted in (("1e-7", 4.6), ("1e-10", 65.0)):
        peer = by_r(folder, "lasso", threshold)
        if peer is None:
            lambdas, reached = 0.25 * np.geomspace(1, 0.01, 100), 0.1 if threshold == "1e-7" else 3e-3
            label, theirs = "R cv.glmnet (time quoted)", quoted
        else:
            lambdas = np.array(peer["lambda"])
            coef = np.reshape(peer["coef"], (800, len(lambdas)), order="F")
            reached = kkt_violation(x, time, event, lambdas, coef)
            label, theirs = "R cv.glmnet", peer["cpu"][0]

        tolerances = [reached, 1e-7] if threshold == "1e-10" else [reached]
        for tolerance in tolerances:
            ours, (coef, deviance) = seconds(partial(both, x, time, event, lambdas, fold, tolerance), 3)
            own = kkt_violation(x, time, event, lambdas, coef)
            size = (
                f"160x800, 10 folds, {len(lambdas)} penalties, KKT {reached:.2g} (thresh {threshold}); ours {own:.2g}"
            )
            difference = None if peer is None else float(np.abs(deviance / np.array(peer["deviance"]) - 1).max())
            yield row("lasso_cox_cv", label, ours, theirs, size, difference)


def both(x, time, event, lambdas, fold, tolerance) -> tuple[np.ndarray, np.ndarray]:
    """What cv.glmnet computes: the path on all rows, and the cross-validated deviance."""
    family, penalty = cox_family(time, event), Penalty(1.0, lambdas)
    deviance, _ = cross_validate(x, family, penalty, fold, tolerance=tolerance)
    return elastic_net_path(x, family, penalty, tolerance), deviance


def forest(folder: Path) -> Iterator[Row]:
    """Random survival forest with permutation importance; ranger has 2 threads, ours one."""
    x, event_time, event = correlated(160, 800, 0)
    pd.DataFrame(x).to_csv(folder / "forest_x.csv", index=False)
    pd.DataFrame({"time": event_time, "event": event.astype(int)}).to_csv(folder / "forest_y.csv", index=False)
    peer = by_r(folder, "forest")
    ours, importance = seconds(lambda: forest_importance(x, event_time, event, Forest(1000, 2, 1, 1)), 1)
    if peer is None:
        yield row("forest_importance", "R ranger (time quoted)", ours, 6.1, "160x800, 1000 trees, leaf 2")
        return
    top = [set(np.argsort(-np.asarray(values))[:20]) for values in (importance, peer["importance"])]
    size = f"160x800, 1000 trees, leaf 2; ranger {peer['nodes'][0]:.0f} nodes a tree, half its CPU s of 2 threads"
    yield row("forest_importance", "R ranger", ours, peer["cpu"][0] / 2, f"{size}; top 20 share {len(top[0] & top[1])}")


def importance_loop(folder: Path) -> Iterator[Row]:
    """Importance at 162 x 2426 against permuting every feature of a fitted scikit-survival forest, 5 times each."""
    from sksurv.ensemble import RandomSurvivalForest
    from sksurv.util import Surv

    x, event_time, event = correlated(162, 2426, 2)
    ours, _ = seconds(lambda: forest_importance(x, event_time, event, Forest(1000, 15, 5, 1)), 1)
    outcome, part = Surv.from_arrays(event, event_time), 8
    grown, model = once(
        lambda: RandomSurvivalForest(1000, min_samples_leaf=15, low_memory=True, n_jobs=1, random_state=0).fit(
            x, outcome
        )
    )

    def loop() -> None:
        rng = np.random.default_rng(0)
        model.score(x, outcome)
        for j in range(part):
            shuffled = x.copy()
            shuffled[:, j] = rng.permutation(x[:, j])
            model.score(shuffled, outcome)

    spent, _ = once(loop)
    theirs = grown + spent / (part + 1) * (5 * x.shape[1] + 1)
    size = f"162x2426, 1000 trees, leaf 15, 5 permutations, growing included; loop over {part} features, scaled"
    yield row("forest_importance", "scikit-survival permutation loop", ours, theirs, size)


def univariable(folder: Path) -> Iterator[Row]:
    """One Cox model a feature, Efron ties."""
    from lifelines import CoxPHFitter

    x, event_time, event = correlated(162, 3384, 3)
    ours, table = seconds(lambda: univariable_cox(x, event_time, event))
    part = 50
    frames = [pd.DataFrame({"x": x[:, j], "t": event_time, "e": event}) for j in range(part)]
    spent, coef = once(lambda: [CoxPHFitter().fit(frame, "t", "e").params_["x"] for frame in frames])
    difference = float(np.abs((np.array(coef) - table["coef"][:part]) / table["se"][:part]).max())
    size = f"162x3384, Efron; peer {part}, scaled; difference in standard errors"
    yield row("univariable_cox", "lifelines loop", ours, spent / part * 3384, size, difference)
    few = 800
    pd.DataFrame(x[:, :few]).to_csv(folder / "univariable_x.csv", index=False)
    pd.DataFrame({"time": event_time, "event": event.astype(int)}).to_csv(folder / "univariable_y.csv", index=False)
    peer = by_r(folder, "univariable")
    theirs, label, difference = 0.77, "R coxph loop (time quoted)", None
    if peer is not None:
        theirs, label = peer["cpu"][0], "R coxph loop"
        difference = float(np.abs((np.array(peer["coef"]) - table["coef"][:few]) / table["se"][:few]).max())
    size = f"162x3384, Efron; peer {few}, scaled; difference in standard errors"
    yield row("univariable_cox", label, ours, theirs / few * 3384, size, difference)


def agreement(folder: Path) -> Iterator[Row]:
    """ICC(2,1) with confidence limits of every feature."""
    rng = np.random.default_rng(4)
    ratings = rng.normal(size=(30, 1, 3384)) + 0.3 * rng.normal(size=(30, 2, 3384))
    ours, table = seconds(lambda: icc_2_1(ratings), 10)
    part = 100
    peer = by_python(folder, "pingouin", "icc", ratings=ratings[:, :, :part])
    size = f"3384x30x2; peer {part}, scaled"
    if peer is None:
        yield row("icc", "pingouin loop (time quoted)", ours, 21.7, size)
        return
    difference = float(np.abs(np.array(peer["values"]) / table["icc"][:part] - 1).max())
    yield row("icc", "pingouin loop", ours, peer["cpu"] / part * 3384, size, difference)


def redundancy(folder: Path) -> Iterator[Row]:
    """Minimum redundancy, maximum relevance: 30 of 2426."""
    x, event_time, event = correlated(162, 2426, 2)
    names = [f"f{j:04d}" for j in range(2426)]
    ours, _ = seconds(lambda: mrmr(x, names, event_time, event, 30), 10)
    peer = by_python(folder, "mrmr_selection", "mrmr", x=x, time=event_time)
    theirs, label = (6.4, "mrmr-selection (time quoted)") if peer is None else (peer["cpu"], "mrmr-selection")
    yield row("mrmr", label, ours, theirs, "162x2426, 30 picks; peer without survival relevance")


def bootstrap(folder: Path) -> Iterator[Row]:
    """1000 bootstrap draws of Harrell's C."""
    from sksurv.metrics import concordance_index_censored

    x, event_time, event = correlated(240, 5, 9)
    score = np.round(x.sum(axis=1), 1)

    def work() -> np.ndarray:
        fold = {"place": np.arange(240), "time": event_time, "event": event, "lp": score}
        return bootstrap_concordance([fold], 240, 1000, np.random.default_rng(5))[1]

    ours, values = seconds(work, 10)
    draws = np.random.default_rng(5).integers(0, 240, (1000, 240))  # the same as inside
    spent, loop = once(lambda: [concordance_index_censored(event[i], event_time[i], score[i])[0] for i in draws])
    size = "n = 240, 1000 draws"
    yield row(
        "bootstrap_c", "scikit-survival loop", ours, spent, size, float(np.abs(np.array(loop) / values - 1).max())
    )
    pd.DataFrame({"time": event_time, "event": event.astype(int), "score": score}).to_csv(
        folder / "bootstrap.csv", index=False
    )
    pd.DataFrame(draws).to_csv(folder / "draws.csv", index=False)
    peer = by_r(folder, "bootstrap")
    if peer is None:
        yield row("bootstrap_c", "R concordance (time quoted)", ours, 0.69, size)
        return
    yield row("bootstrap_c", "R concordance", ours, peer["cpu"][0], size, float(np.abs(peer["c"] / values - 1).max()))


def training(n: int, p: int) -> Training:
    """Training rows of n patients and p features, 30 of them read twice, with eight clinical variables."""
    x, event_time, event = correlated(n, p, 6)
    rng = np.random.default_rng(7)
    repeats = np.full((n, 1, p), np.nan)
    repeats[:30, 0] = x[:30] + rng.normal(size=(30, p)) * rng.uniform(0.05, 0.8, p)
    clinical = pd.DataFrame({f"c{j}": (rng.random(n) < 0.4).astype(float) for j in range(8)})
    ids = np.array([f"p{i:03d}" for i in range(n)], object)
    names = [f"{'AP' if j % 2 else 'PVP'}_{'tumour' if j % 4 < 2 else 'rim'}_f{j}" for j in range(p)]
    return Training(ids, 12 * event_time, event.astype(int), clinical, x, repeats, names)


def whole_fit(folder: Path) -> Iterator[Row]:
    """200 resamples of the whole fit, and 4 x 5 nested cross-validation, of each preset."""
    train = training(162, 3384)
    variable = {"kind": "binary", "timing": "pre", "unit": "", "transform": "none", "positive": "1", "negative": "0"}
    variables = {name: variable | {"column": name, "label": name} for name in train.clinical}
    for preset in ("recommended", "ji2020"):
        settings = yaml.safe_load((ROOT / "presets" / f"{preset}.yaml").read_text()) | {
            "variables": variables,
            "candidates": {"pre": list(variables)[:5], "post": list(variables)[5:]},
            "horizons_months": [24],
            "models": ["signature", "clinical_pre", "combined_pre", "clinical_post", "combined_post"],
        }
        chosen = resample_settings(train, settings)
        fit(train, chosen, 1)  # loads compiled code
        part = 6
        spent, _ = once(lambda chosen=chosen, part=part: [bootstrap_fit(train, chosen, 1, i) for i in range(part)])
        nested, _ = once(lambda settings=settings: nested_predictions(train, settings, 1, 0, 5))
        size = f"162x3384; {part} done, scaled, on {CORES} cores; 4 x 5 nested folds: {nested * 4 / CORES:.0f} s more"
        yield row(f"resamples_200_{preset}", "15 minutes (nobody does it)", spent / part * 200 / CORES, 900.0, size)


TASKS = (lasso, forest, importance_loop, univariable, agreement, redundancy, bootstrap, whole_fit)


def rows(tasks: tuple[Callable[[Path], Iterator[Row]], ...] = TASKS) -> Iterator[Row]:
    """Every line of the model side's benchmark, as it is measured."""
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for task in tasks:
            yield from task(Path(folder))
