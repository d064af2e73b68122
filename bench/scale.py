"""How a study grows: time and memory for 100, 1,000 and 10,000 patients, and time on 2 to 64 nodes.

    python bench/scale.py --patients 100 1000 10000 --output results/bench/scale

Writes plans.csv (the dry run of a study with images), jobs.csv (time and memory of every rule on features that are
there already) and nodes.csv (the plan scheduled on nodes: simulated from the measured times, no such cluster was used).
Data are synthetic. docs/scale.md shows what came out.
"""

from __future__ import annotations

import argparse
import heapq
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[1]
PATIENTS_PER_BATCH = 100
CORES_PER_NODE = 4
SUBMISSION_S = 10  # what a SLURM job costs before it works (docs/cluster.md)
NODES = (2, 4, 8, 16, 32, 64)
# seconds of one patient (two phases, two regions, 851 features each), from `benchmarks/demo`
PER_PATIENT = {"inventory": 0.02, "cases": 0.6, "features": 1.2}
SOME = {"resamples": 1, "nested_folds": 2, "nested_repeats": 1, "learning_repeats": 0}  # of each kind of fit


def write_study(folder: Path, patients: int, features: int, **internal_validation: int) -> Path:
    """A synthetic cohort of two centres with correlated features and a second reading, and its study file."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    factors = rng.normal(size=(patients, 40))
    values = factors @ rng.normal(size=(40, features)) / np.sqrt(40) + 0.6 * rng.normal(size=(patients, features))
    ids = [f"P{i:05d}" for i in range(patients)]
    names = [f"tumour_{j:04d}" for j in range(features)]
    afp, mvi = rng.lognormal(4, 2, patients), rng.integers(0, 2, patients)
    risk = np.exp(0.6 * values[:, 0] + 0.1 * np.log(afp) + 0.3 * mvi)
    time, end = rng.exponential(40 / risk), rng.uniform(12, 90, patients)
    clinical = {"patient_id": ids, "centre": rng.choice(["A", "A", "B"], patients)}
    clinical |= {"months": np.minimum(time, end).round(2) + 0.01, "recurrence": (time <= end).astype(int)}
    clinical |= {"afp": afp.round(2), "mvi": mvi, "size": rng.uniform(1, 12, patients).round(2)}
    pd.DataFrame(clinical).to_csv(folder / "clinical.csv", index=False)
    twice = min(patients, 200)
    again = values[:twice] + 0.2 * rng.normal(size=(twice, features))
    for name, table in (("features", values), ("repeat", again)):
        frame = pd.DataFrame(table, columns=names)
        frame.insert(0, "patient_id", ids[: len(table)])
        frame.to_parquet(folder / f"{name}.parquet", index=False)
    number = {"kind": "numeric", "timing": "pre"}
    study = {
        "study": f"scale{patients}",
        "title": "Synthetic cohort of the scale benchmark",
        "synthetic": True,
        "clinical": {
            "table": "clinical.csv",
            "id": "patient_id",
            "centre": "centre",
            "tumour_size": "size",
            "variables": {
                "ln_afp": number | {"column": "afp", "transform": "ln", "floor": 0.3, "unit": "ng/mL", "label": "AFP"},
                "size": number | {"column": "size", "unit": "cm", "label": "Size"},
                "mvi": {"column": "mvi", "kind": "binary", "timing": "post", "label": "MVI"},
            },
        },
        "endpoints": {"TTR": {"kind": "recorded", "time": "months", "event": "recurrence", "unit": "months"}},
        "horizons_months": [24],
        "split": {"kind": "centre", "train": ["A"], "external": ["B"]},
        "features": {
            "table": "features.parquet",
            "repeat": "repeat.parquet",
            "id": "patient_id",
            "pattern": "^tumour_",
        },
        "candidates": {"pre": ["ln_afp"], "post": ["mvi"]},
        "primary": "recommended",
        "analyses": {
            "recommended": {
                "preset": "recommended",
                "endpoint": "TTR",
                "ablations": False,
                "internal_validation": internal_validation,
            }
        },
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return folder / "study.yaml"


def write_image_study(folder: Path, patients: int) -> Path:
    """The demo study's settings on a manifest of so many patients, whose image files are empty: enough for a plan."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = [f"--{name}={folder / name}.csv" for name in ("clinical", "images", "truth")]
    command = [sys.executable, ROOT / "scripts/demo_tables.py", "--seed", "1", *tables]
    subprocess.run([*command, "--patients", str(patients // 2), str(patients - patients // 2)], check=True)
    manifest = pd.read_csv(folder / "images.csv", dtype=str)
    for path in pd.unique(manifest[["image", "mask", "liver_mask"]].to_numpy().ravel()):
        if isinstance(path, str):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).touch()
    study = yaml.safe_load((ROOT / "config.yaml").read_text())
    del study["demo"]
    study |= {"study": f"images{patients}", "batches": max(1, patients // PATIENTS_PER_BATCH)}
    study["candidates"] = {"pre": ["ln_afp"], "post": ["mvi"]}
    study["clinical"]["table"], study["images"]["manifest"] = "clinical.csv", "images.csv"
    study["analyses"] = {"recommended": {"preset": "recommended", "endpoint": "TTR"}}
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return folder / "study.yaml"


def snakemake(*arguments: str | Path, cwd: Path = ROOT) -> tuple[str, float, float]:
    """Output, CPU seconds and peak MB of the main process of a run; raises when it fails."""
    command = [sys.executable, "-m", "snakemake", *map(str, arguments)]
    done = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    said = done.stdout.read()
    _, status, usage = os.wait4(done.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return said, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def plan(study: Path, cwd: Path = ROOT) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Rule of every job of the study's plan, and (job, job that needs it) pairs."""
    text = snakemake("--dag", "--config", f"study={study}", cwd=cwd)[0]
    jobs = {job: label.split("\\n")[0] for job, label in re.findall(r'^\s*(\d+)\[label = "([^"]*)"', text, re.M)}
    return jobs, re.findall(r"^\s*(\d+) -> (\d+)", text, re.M)


def schedule(
    seconds: dict[str, float], needs: list[tuple[str, str]], slots: int
) -> tuple[float, dict[str, tuple[float, float]]]:
    """Length of the schedule that starts each job as soon as a slot is free, longest way to the end first; and
    (start, end) of every job.
    """
    after: dict[str, list[str]] = {job: [] for job in seconds}
    waits = dict.fromkeys(seconds, 0)
    for first, then in needs:
        after[first].append(then)
        waits[then] += 1
    way: dict[str, float] = {}

    def to_end(job: str) -> float:
        if job not in way:
            way[job] = seconds[job] + max(map(to_end, after[job]), default=0.0)
        return way[job]

    ready = [(-to_end(job), job) for job in seconds if not waits[job]]
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    now, times = 0.0, {}
    while ready or running:
        while ready and len(running) < slots:
            job = heapq.heappop(ready)[1]
            times[job] = (now, now + seconds[job])
            heapq.heappush(running, (now + seconds[job], job))
        now, job = heapq.heappop(running)
        for then in after[job]:
            waits[then] -= 1
            if not waits[then]:
                heapq.heappush(ready, (-to_end(then), then))
    return now, times


def bottleneck(jobs: dict[str, str], needs: list[tuple[str, str]], times: dict[str, tuple[float, float]]) -> str:
    """The rule that most of the time goes to on the chain of jobs that ends last, each the last that the next needs."""
    before: dict[str, list[str]] = {job: [] for job in jobs}
    for first, then in needs:
        before[then].append(first)
    job, spent = max(times, key=lambda j: times[j][1]), {}
    while True:
        last = max(before[job], key=lambda j: times[j][1], default=None)
        spent[jobs[job]] = spent.get(jobs[job], 0.0) + times[job][1] - (times[last][1] if last else 0.0)
        if last is None:
            return max(spent, key=spent.get)
        job = last


def measured(benchmarks: Path) -> pd.DataFrame:
    """Rule, jobs, mean seconds of computing and largest memory (MB) of what the rules recorded of a study.

    Seconds of the processor, not of the clock: jobs have one thread, and other work on the machine counts for nothing.
    """
    rows = [
        pd.read_csv(file, sep="\t").assign(rule=file.relative_to(benchmarks).parts[0].removesuffix(".tsv"))
        for file in sorted(benchmarks.rglob("*.tsv"))
    ]
    table = pd.concat(rows)
    table[["max_rss", "cpu_time"]] = table[["max_rss", "cpu_time"]].apply(pd.to_numeric, errors="coerce")
    found = table.groupby("rule").agg(jobs=("s", "size"), seconds=("cpu_time", "mean"), mb=("max_rss", "max"))
    return found.reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--features", type=int, default=3404, help="851 in each of two regions and two phases")
    parser.add_argument("--output", type=Path, default=Path("results/bench/scale"))
    args = parser.parse_args()
    plans, tables, nodes = [], [], []
    for patients in args.patients:
        folder = (args.output / str(patients)).resolve()
        images = write_image_study(folder / "images", patients)
        said, seconds, mb = snakemake("-n", "--quiet", "host", "--config", f"study={images}")
        jobs, needs = plan(images)
        plans.append({"patients": patients, "jobs": len(jobs), "cpu_seconds": seconds, "mb": mb})
        study = write_study(folder, patients, args.features, **SOME)
        shutil.rmtree(ROOT / f"results/scale{patients}", ignore_errors=True)
        name = f"scale{patients}"
        snakemake("--cores", "1", "--config", f"study={study}", "--", f"results/{name}/tables.sha256")
        found = measured(ROOT / "benchmarks" / name).assign(patients=patients)
        tables.append(found)
        mean = dict(zip(found["rule"], found["seconds"], strict=True))
        # one resample was measured, a chunk has 25; nested cross-validation 2 fits of 20, a learning chunk 40 of half;
        # ablations: all features, two phases, two regions (half of the features each), each fitted once and in 5 folds
        fit = mean["resample"]
        times = mean | {"resample": 25 * fit, "nested_cv": 10 * mean["nested_cv"], "learning_fits": 20 * fit}
        times |= {"ablation_fits": (1 + 4 / 2) * 6 * fit}
        times |= {rule: each * PATIENTS_PER_BATCH for rule, each in PER_PATIENT.items()}
        seconds_of = {job: times.get(rule, 3.0) + SUBMISSION_S for job, rule in jobs.items()}
        for count in NODES:
            length, when = schedule(seconds_of, needs, count * CORES_PER_NODE)
            limit = bottleneck(jobs, needs, when)
            hours = {"hours": length / 3600, "processor_hours": sum(seconds_of.values()) / 3600}
            nodes.append({"patients": patients, "nodes": count, **hours, "bottleneck": limit})
        args.output.mkdir(parents=True, exist_ok=True)
        for what, rows in (("plans", pd.DataFrame(plans)), ("jobs", pd.concat(tables)), ("nodes", pd.DataFrame(nodes))):
            rows.to_csv(args.output / f"{what}.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
