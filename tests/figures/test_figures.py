"""Every figure is drawn from invented tables: formats, equal bytes, labels, empty and hostile input."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

import figure as program
from recur import style
from recur.features.labels import feature_label
from recur.tables import write_table
from recur.vocabulary import WORDS, analysis_words

SCRIPTS = Path(program.__file__).parent
FIGURES = sorted(p.stem for p in (SCRIPTS / "figures").glob("*.py"))
HOSTILE = "$x$<script>&amp;_\\frac{1}{2}\x07"
COHORTS = ("train", "test", "external-B")
MODELS = ("signature", "clinical_pre", "combined_pre", "clinical_post", "combined_post")
HORIZONS = (24, 60)
DEMO = {
    "wording": {"treatment": "resection"},
    "endpoints": {"TTR": {"kind": "time_to_recurrence"}},
    "analyses": {"a": {"endpoint": "TTR"}},
}
CONTEXT = {
    "endpoint": "TTR",
    "outcome": "survival",
    "said": analysis_words(DEMO, "a") | {"free_of": {"TTR": "Free of recurrence", "OS": "Overall survival"}},
    "primary_horizon": 24.0,
    "main": "combined_pre",
    "title_note": "recommended, TTR",
    "synthetic": True,
}
SAID = ["--primary-horizon", "24", "--words", json.dumps(CONTEXT["said"]), "--main-model", "combined_pre"]


def features(count: int) -> list[str]:
    """Names as the feature floor writes them."""
    images = ["original", "wavelet-LLH", "wavelet-HHH", "log-sigma-3-0-mm-3D"]
    kinds = [
        "glcm_Contrast",
        "firstorder_90Percentile",
        "gldm_LargeDependenceHighGrayLevelEmphasis",
        "shape_Sphericity",
        "glszm_SizeZoneNonUniformityNormalized",
    ]
    names = [f"{p}_{r}_{i}_{k}" for k in kinds for i in images for p in ("AP", "PVP") for r in ("tumour", "rim")]
    return (names * (count // len(names) + 1))[:count]


def kaplan_meier(time: np.ndarray, event: np.ndarray) -> pd.DataFrame:
    times = np.unique(time)
    at_risk = np.array([(time >= t).sum() for t in times])
    events = np.array([((time == t) & (event == 1)).sum() for t in times])
    survival = np.cumprod(1 - events / at_risk)
    error = 1.96 * survival * np.sqrt(np.cumsum(events / (at_risk * np.maximum(at_risk - events, 1))))
    curve = {
        "time": times,
        "survival": survival,
        "lower": np.clip(survival - error, 0, 1),
        "upper": np.clip(survival + error, 0, 1),
        "n_risk": at_risk,
        "n_event": events,
        "n_censor": [((time == t) & (event == 0)).sum() for t in times],
    }
    start = pd.DataFrame({"time": [0.0], "survival": 1.0, "lower": 1.0, "upper": 1.0, "n_risk": len(time)})
    return pd.concat([start.assign(n_event=0, n_censor=0), pd.DataFrame(curve)], ignore_index=True)


def invent(cohorts: tuple[str, ...] = COHORTS, odd: str = "") -> dict[str, pd.DataFrame]:
    return {path: table.copy() for path, table in invented(cohorts, odd).items()}


@functools.cache
def invented(cohorts: tuple[str, ...], odd: str) -> dict[str, pd.DataFrame]:
    """INVENTED tables of every floor, shaped like a study's and true of nobody; `odd` is put into every name."""
    rng = np.random.default_rng(8)
    sizes = dict(zip(cohorts, (162, 81, 78), strict=False))
    names = [n + odd for n in features(400)]
    tables: dict[str, list] = {}

    def add(path: str, **row):
        tables.setdefault(path, []).append({"analysis": "recommended", "endpoint": "TTR", **row})

    reasons = f"no portal venous phase (n = 6); rim: less than half of the shell is in the liver{odd} (n = 4)"
    flow = [
        ("patients in the clinical table", 360, 0, ""),
        ("after the cohort floor", 331, 29, "date before surgery (n = 29)"),
    ]
    flow += [("after the images floor" + odd, 321, 10, reasons)] + [(c, n, 0, "") for c, n in sorted(sizes.items())]
    for i, (step, n, excluded, reason) in enumerate(flow):
        add("cohort/{a}/flow.csv", order=i + 1, step=step, n=n, excluded=excluded, reason=reason)
    icc = np.clip(rng.beta(6, 1.6, len(names)), 0, 0.99)
    for name, value in zip(names, icc, strict=True):
        low = value - rng.uniform(0.02, 0.25) * (1 - value) * 3
        add(
            "signature/{a}/icc.csv",
            feature=name,
            n=40,
            icc=value,
            lower=low,
            upper=value + 0.3 * (1 - value),
            stable=low > 0.75,
        )
    for i, name in enumerate(names[:37]):
        kind = "both" if i < 3 else "mrmr" if i < 20 else "forest"
        ranks = {
            "mrmr_rank": i + 1 if i < 20 else 20 + rng.integers(1, 300),
            "forest_rank": (i - 16) if i >= 20 else rng.integers(1, 350),
        }
        add("signature/{a}/ranking.csv", feature=name, mrmr_score=0.1, forest_importance=0.01, selected=kind, **ranks)
    lambdas = np.geomspace(0.25, 0.004, 60)
    ends = rng.normal(0, 0.25, 37)
    entry = np.sort(np.append(rng.uniform(0.0, 0.3, 7), rng.uniform(0.41, 0.9, 30)))
    for j, lam in enumerate(lambdas):
        grown = np.clip(j / 59 - entry, 0, None)
        for name, end, g in zip(names, ends, grown, strict=False):
            add("signature/{a}/lasso_path.csv", **{"lambda": lam}, feature=name, coef=end * g)
        shape = 9.3 + 0.5 * (np.log(lam / 0.05)) ** 2 * 0.12
        chosen = "min" if j == 24 else "1se" if j == 14 else ""
        add(
            "signature/{a}/cv_deviance.csv", **{"lambda": lam}, deviance=shape, se=0.09,
            n_nonzero=int((grown > 0).sum()), chosen=chosen,
        )  # fmt: skip
    at_min = ends * np.clip(24 / 59 - entry, 0, None)
    for i in np.flatnonzero(at_min)[:7]:
        frequency = rng.uniform(0.3, 0.9) if i else np.nan
        add(
            "signature/{a}/weights.csv",
            feature=names[i],
            weight=at_min[i],
            mean=1.0,
            sd=2.0,
        )
        add("signature/{a}/selection_frequency.csv", feature=names[i], frequency=frequency)
    for m, model in enumerate(("signature", "combined_pre")):
        for cohort in ("train-nested_cv", *cohorts[1:]):
            for k, ablation in enumerate(("all", "AP_only", "PVP_only", "tumour_only", f"rim_only{odd}")):
                c = 0.7 + 0.03 * m - 0.02 * k
                add(
                    "validation/{a}/ablations.csv", ablation=ablation, model=model, cohort=cohort, metric="c_harrell",
                    estimate=c, lower=c - 0.07, upper=c + 0.07, n=162, events=74,
                )  # fmt: skip
    for m, model in enumerate(MODELS):
        for n in (32, 65, 97, 130):
            c = 0.6 + 0.02 * m + 0.0005 * n
            add("validation/{a}/learning_curve.csv", model=model, n=n, estimate=c, lower=c - 0.1, upper=c + 0.1)
    labels = {"ln_afp": "ln AFP (ng/mL)", "margin": "Tumour margin, non-smooth", "signature": "Radiomics signature"}
    labels |= {"mvi": "Microvascular invasion", "satellites": "Satellite nodules"}
    parts = {"clinical_pre": 2, "combined_pre": 3, "clinical_post": 5, "combined_post": 5, "signature": 3}
    for model in MODELS:
        terms = ["signature"] if model == "signature" else list(labels)[: parts[model]]
        for term in terms:
            coef = rng.uniform(0.1, 1.3)
            se = 0.3 * coef + 0.05
            row = {
                "coef": coef,
                "se": se,
                "hr": np.exp(coef),
                "lower": np.exp(coef - 1.96 * se),
                "upper": np.exp(coef + 1.96 * se),
            }
            add(
                "models/{a}/coefficients.csv", model=model, stage="multivariable", term=term, label=labels[term] + odd,
                p=rng.uniform(0, 0.06) ** 2, n=162, events=74, likelihood="maximum likelihood", limits="Wald", **row,
            )  # fmt: skip
        if model == "combined_pre":
            for axis, values, points in (
                ("ln_afp", range(-1, 13), np.linspace(0, 70, 14)),
                ("margin", (0, 1), (0, 31)),
                ("signature", np.linspace(-1.5, 1.5, 13), np.linspace(0, 100, 13)),
                ("total", range(0, 201, 20), range(0, 201, 20)),
                ("risk_24", (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9), (20, 45, 72, 92, 124, 152, 186)),
                ("risk_60", (0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.95), (8, 30, 48, 80, 110, 145, 160)),
            ):
                for value, point in zip(values, points, strict=True):
                    add("models/{a}/nomogram.csv", model=model, axis=axis, value=value, points=point)
    for cohort in cohorts:
        size = sizes[cohort]
        shown = "train-apparent" if cohort == "train" else cohort
        score = rng.normal(0, 0.5, size)
        true = rng.exponential(60 * np.exp(-1.5 * score))
        censor = rng.uniform(10, 108, size)
        time, event = np.round(np.minimum(true, censor) + 0.1, 2), (true <= censor).astype(int)
        for i in range(size):
            fold = score[i] * 0.8 if cohort == "train" else np.nan
            add(
                "signature/{a}/scores.csv",
                patient_id=f"{cohort}-{i:03d}{odd}",
                cohort=cohort,
                score=score[i],
                score_out_of_fold=fold,
            )
        for m, model in enumerate(MODELS):
            lp = score + rng.normal(0, 0.4, size)
            high = lp > np.quantile(lp, 0.7)
            for i in range(size):
                risk = {f"risk_{h}": 1 - np.exp(-(h / 90) * np.exp(lp[i])) for h in HORIZONS}
                add(
                    "validation/{a}/risks.csv", model=model, patient_id=f"{cohort}-{i:03d}{odd}", cohort=cohort,
                    time=time[i], event=event[i], lp=lp[i], group="high" if high[i] else "low", **risk,
                )  # fmt: skip
                if cohort == "train":
                    add("validation/{a}/nested_cv.csv", repeat=0, fold=i % 5, model=model, **risk)
            facts = {"lp_mean": lp.mean(), "lp_sd": lp.std(), "c_model_based": 0.68, "c_membership": 0.72}
            for quantity, value in facts.items():
                add("validation/{a}/transport.csv", model=model, cohort=cohort, quantity=quantity, estimate=value)
            for group, here in (("low", ~high), ("high", high)):
                for row in kaplan_meier(time[here], event[here]).to_dict("records"):
                    add("survival/{a}/km.csv", model=model, cohort=cohort, group=group, **row)
            add(
                "survival/{a}/logrank.csv",
                model=model,
                cohort=cohort,
                chi2=70.4,
                df=1,
                p=10.0 ** -(m + 1),
                n=size,
                events=event.sum(),
            )
            base = {"model": model, "n": size, "events": event.sum(), "method": "invented"}
            middle = 0.62 + 0.03 * m - 0.03 * (cohort != "train")
            kinds = {shown: 0.05}
            if cohort == "train":
                kinds |= {"train-nested_cv": 0.0, "train-oob": 0.0, "train-optimism_corrected": 0.02}
            for kind, extra in kinds.items():
                c = middle + extra + rng.normal(0, 0.01)
                add(
                    "validation/{a}/performance.csv",
                    cohort=kind,
                    metric="c_harrell",
                    estimate=c,
                    lower=c - 0.06,
                    upper=c + 0.06,
                    **base,
                )
            for metric, value, wide in (("calibration_slope", 0.95, 0.3),):
                add(
                    "validation/{a}/performance.csv", cohort=shown, metric=metric, estimate=value, lower=value - wide,
                    upper=value + wide, **base,
                )  # fmt: skip
            for h in HORIZONS:
                for metric, value, wide in (
                    ("auc", middle + 0.05, 0.07),
                    ("oe_ratio", 1.04, 0.2),
                    ("ici", 0.031, np.nan),
                ):
                    add(
                        "validation/{a}/performance.csv", cohort=shown, metric=metric, horizon_months=h, estimate=value,
                        lower=value - wide, upper=value + wide, **base,
                    )  # fmt: skip
                x = np.linspace(0, 1, 40)
                for fpr in x:
                    add(
                        "validation/{a}/roc.csv", model=model, cohort=shown, horizon_months=h, fpr=fpr,
                        tpr=round(fpr ** (1 / (1.5 + m / 2)), 2), threshold=1 - fpr,
                    )  # fmt: skip
                where = {"model": model, "cohort": shown, "horizon_months": h}
                for p in np.linspace(0.08, 0.85, 40):
                    add(
                        "validation/{a}/calibration.csv", **where, kind="curve", predicted=p, observed=p**1.1,
                        lower=max(p**1.1 - 0.12, 0), upper=min(p**1.1 + 0.12, 1), n=size,
                    )  # fmt: skip
                for p in (0.12, 0.25, 0.4, 0.7):
                    add(
                        "validation/{a}/calibration.csv", **where, kind="group", predicted=p, observed=p * 1.05,
                        lower=p * 1.05 - 0.1, upper=min(p * 1.05 + 0.14, 1), n=size // 4,
                    )  # fmt: skip
                    if cohort == "train":
                        nested = where | {"cohort": "train-nested_cv", "predicted": p, "observed": p**0.8}
                        add("validation/{a}/calibration.csv", **nested, kind="curve")
                        add("validation/{a}/calibration.csv", **nested, kind="group", n=size)
                for t in np.linspace(0.05, 0.6, 56):
                    add(
                        "validation/{a}/net_benefit.csv",
                        **where,
                        threshold=t,
                        net_benefit=max(0.3 - 0.55 * t + 0.01 * m, -0.01),
                    )
                    if not m:
                        nothing = where | {"model": "treat_none"}
                        everybody = where | {"model": "treat_all"}
                        add("validation/{a}/net_benefit.csv", **nothing, threshold=t, net_benefit=0)
                        add("validation/{a}/net_benefit.csv", **everybody, threshold=t, net_benefit=1 - 0.7 / (1 - t))
            for t in range(6, 73, 3):
                value = middle + 0.08 - 0.0006 * t + rng.normal(0, 0.006)
                for metric in ("auc", "brier", "brier_null"):
                    add(
                        "validation/{a}/time_curves.csv", model=model, cohort=shown, time_months=t, metric=metric,
                        estimate=value, lower=value - 0.06, upper=value + 0.06,
                    )  # fmt: skip
    for f, factor in enumerate(("Cirrhosis <b>", "MVI")):
        for level in ("no", "yes"):
            for i in range(1, 13):
                add(
                    "survival/{a}/factor_km.csv", factor=factor, cohort="train", group=level, time=5.0 * i,
                    survival=1 - 0.05 * i * (1 + f * (level == "yes")) / 2, n_risk=60 - 5 * i,
                )  # fmt: skip
        add(
            "survival/{a}/factor_logrank.csv",
            factor=factor,
            cohort="train",
            p=0.2 / (1 + f),
            p_trend=0.02 if f == 1 else np.nan,
        )
    add_scores(add, cohorts=("train", "external-B"))
    add_score_curves(add, cohorts=("train", "external-B"))
    add_descriptions(add, cohorts, names, labels, odd)
    frames = {path: pd.DataFrame(rows) for path, rows in tables.items()}
    nothing = pd.DataFrame(columns=["analysis", "endpoint", "variable", "cohort_a", "cohort_b", "smd"])
    frames |= diagnostic(cohorts, odd)
    return {"cohort/{a}/balance.csv": nothing} | frames  # one cohort has nothing to compare


def diagnostic(cohorts: tuple[str, ...], odd: str) -> dict[str, pd.DataFrame]:
    """INVENTED tables of a diagnostic study."""
    rng = np.random.default_rng(9)
    rows: dict[str, list] = {}
    interval = {"estimate": 0.71, "lower": 0.62, "upper": 0.8}
    for cohort in cohorts:
        for test in (f"lirads_reader1{odd}", "afp"):
            place = {"cohort": cohort, "test": test}
            rows.setdefault("auc", []).append(place | interval)
            for x in np.linspace(0, 1, 6):
                at = place | {"specificity": 1 - x, "sensitivity": np.sqrt(x)}
                rows.setdefault("roc", []).append(at | {"threshold": 5 - 5 * x})
                rows.setdefault("band", []).append(at | {"lower": x, "upper": min(np.sqrt(x) + 0.1, 1)})
            for cutoff, origin in (("LR-5", "declared"), ("> 12.5", "youden, training")):
                for metric in ("sensitivity", "specificity", "accuracy", "ppv", "npv", "lr_positive"):
                    row = place | {"cutoff": cutoff, "cutoff_from": origin, "metric": metric, "x": 71, "n": 100}
                    rows.setdefault("accuracy", []).append(row | interval)
        train = cohort.startswith("train")
        name = f"{cohort}-optimism_corrected" if train else cohort
        rows["auc"].append({"cohort": name, "test": "combination", "estimate": 0.8})
        for group in (f"TACE{odd}", "RFA"):
            for k in range(12):
                row = {"cohort": cohort, "endpoint": "OS", "group": group, "time": 6.0 * k, "n_risk": 40 - 3 * k}
                rows.setdefault("curves", []).append(row | {"survival": 1 - k / 15})
            rows.setdefault("groups", []).append({"cohort": cohort, "variable": "OS", "group": group, "p": 0.031})
        rows.setdefault("weighted", []).append(
            {"cohort": cohort, "outcome": "OS", "measure": "hazard ratio"} | interval
        )
    for coefficient in ("agreement", "kappa", "kappa_linear", "kappa_quadratic", "pabak", "gwet_ac1"):
        row = {"reading": f"lirads{odd}", "reader_a": "lirads_reader1", "reader_b": "lirads_reader2", "n": 115}
        rows.setdefault("agreement", []).append(row | {"coefficient": coefficient} | interval)
    for phase in ("AP", "PVP"):
        pair = {"phase": phase, "reader_a": "reader1", "reader_b": "reader2"}
        for k in range(20):
            values = {"dice": rng.uniform(0.7, 0.95), "hd95_mm": rng.uniform(1, 6)}
            rows.setdefault("masks", []).append({"patient_id": f"P{k}{odd}"} | pair | values)
        for measure, middle in (("dice", 0.85), ("hd95_mm", 3.0)):
            box = {"median": middle, "lower_quartile": 0.9 * middle, "upper_quartile": 1.1 * middle}
            rows.setdefault("mask_summary", []).append(pair | {"measure": measure} | box)
    return {f"diagnostic/{name}.csv": pd.DataFrame(items) for name, items in rows.items()}


def add_descriptions(add, cohorts, names, labels, odd) -> None:
    """Balance, subgroups, incidence, equation, cut-point search, clusters, an example and redrawn outcomes."""
    rng = np.random.default_rng(3)
    for i, name in enumerate(("Age (years)", f"Non-smooth margin{odd}", "A variable of a very long name, as written")):
        for cohort in cohorts[1:]:
            add("cohort/{a}/balance.csv", variable=name, cohort_a="train", cohort_b=cohort, smd=0.05 + 0.15 * i)
    for cohort in cohorts:
        base = {"model": "combined_pre", "cohort": "train-apparent" if cohort == "train" else cohort}
        add("validation/{a}/subgroups.csv", **base, factor="all", level="", estimate=0.7, lower=0.6, upper=0.8, n=90,
            events=40, p_heterogeneity=np.nan)  # fmt: skip
        for level, c in ((f"up to 61.5 years{odd}", 0.68), ("above 61.5 years", np.nan)):
            add("validation/{a}/subgroups.csv", **base, factor=f"Age{odd}", level=level, estimate=c, lower=c - 0.1,
                upper=c + 0.1, n=45, events=20, p_heterogeneity=0.4)  # fmt: skip
        for group, steep in (("low", 0.02), ("high", 0.06)):
            for cause in ("event", "competing"):
                for t in range(0, 73, 6):
                    value = min(steep * t / 6 * (1 if cause == "event" else 0.3), 0.9)
                    add("survival/{a}/incidence.csv", model="combined_pre", cohort=cohort, group=group, cause=cause,
                        time=t, incidence=value, lower=0.8 * value, upper=min(1.2 * value, 1), n_risk=60)  # fmt: skip
    for term, coef in (("ln_afp", 0.11), ("margin", 0.62), ("signature", -1.2)):
        unit, transform = ("ng/mL", "ln") if term == "ln_afp" else ("", "none")
        add("models/{a}/equations.csv", model="combined_pre", part="term", name=term, label=labels[term] + odd,
            unit=unit, transform=transform, value=coef)  # fmt: skip
    for part, name, label, value in (
        ("level", "margin", f"smooth{odd}", 0), ("level", "margin", "non-smooth", 1), ("constant", "", "", -0.9),
        ("cutpoint", "", "", -0.31), ("survival", "24", "", 0.81), ("survival", "60", "", 0.55),
    ):  # fmt: skip
        add("models/{a}/equations.csv", model="combined_pre", part=part, name=name, label=label, unit="",
            transform="none", value=value)  # fmt: skip
    for i, cut in enumerate(np.linspace(-1.5, 1.5, 60)):
        add("models/{a}/cutpoint_scan.csv", model="combined_pre", cutpoint=cut, statistic=5 - (cut - 0.4) ** 2,
            p=1e-6, chosen=int(i == 38), p_corrected=2e-5 if i == 38 else np.nan)  # fmt: skip
    patients = [f"train-{i:03d}{odd}" for i in range(24)]
    for j, name in enumerate(names[:6]):
        for patient in patients:
            add("signature/{a}/heatmap.csv", feature=name, patient_id=patient, z=rng.normal() + (j > 2))
    for axis, count in (("feature", 6), ("patient", 24)):
        for k in range(count - 1):  # a ladder: each merge takes one leaf more
            add("signature/{a}/heatmap_clusters.csv", axis=axis, left=count + k - 1 if k else 0, right=k + 1,
                height=0.1 * (k + 1), size=k + 2)  # fmt: skip
    for i, patient in enumerate(patients):
        for name, label, value, text in (
            ("event", "Event", i % 2, "yes" if i % 2 else "no"), ("age", f"Age (years){odd}", 50.0 + i, ""),
        ):  # fmt: skip
            add(
                "signature/{a}/heatmap_patients.csv", patient_id=patient, name=name, label=label, value=value, text=text
            )
    for phase in ("AP", f"PVP{odd}"):
        add("signature/{a}/example_views.csv", phase=phase, row_mm=1.5, column_mm=1.0, low=-50, high=200, slice=18,
            slices=36, feature="original_glcm_Contrast")  # fmt: skip
        for row, column in np.ndindex(20, 30):
            far = np.hypot(1.5 * (row - 10), column - 15)
            add("signature/{a}/example_pixels.csv", phase=phase, row=row, column=column, intensity=100 - 2 * far,
                tumour=int(far < 6), rim=int(6 <= far < 10), liver=1, other_reader=int(far < 5),
                map=far if far < 10 else np.nan)  # fmt: skip
    for signal in ("none", "clinical_only"):
        for model in ("signature", "combined_pre", "leaky"):
            for seed in range(12):
                add("validation/redraws.csv", signal=signal, seed=seed, cohort="external-B", model=model,
                    c_harrell=0.5 + 0.2 * (model == "leaky") + rng.normal(0, 0.04))  # fmt: skip
            add("validation/null_summary.csv", signal=signal, cohort="external-B", model=model, mean=0.5)


def add_scores(add, cohorts) -> None:
    """Published scores: a continuous one, a stage that leaves many pairs tied, one from memory."""
    for i, (score, label) in enumerate((("erasl_pre", "ERASL-pre"), ("bclc", "BCLC <2022>"), ("tnm8", "TNM 8"))):
        add("cohort/score_notes.csv", id=score, label=label, timing="post" if i == 2 else "pre", provenance="stored")
        for cohort in cohorts:
            shown = "train-apparent" if cohort == "train" else cohort
            base = {"model": score, "cohort": shown, "n": 90, "events": 40}
            c = 0.6 - 0.02 * i
            add("validation/{a}/scores.csv", **base, metric="c_harrell", estimate=c, lower=c - 0.1, upper=c + 0.1)
            add("validation/{a}/scores.csv", **base, metric="tied_share", estimate=0.3 * i)
            for metric, p in (("c_harrell", 0.01 * (i + 1)), ("c_gamma", 0.005)):
                add(
                    "validation/{a}/score_comparisons.csv", cohort=shown, model_a="combined_pre", model_b=score,
                    metric=metric, difference=0.1 + 0.02 * i, lower=0.0, upper=0.2 + 0.02 * i, n=90,
                    p=np.nan if cohort == "train" else p, p_holm=np.nan if cohort == "train" else min(3 * p, 1),
                    note="a preoperative model against a postoperative score: the score knows more" if i == 2 else "",
                )  # fmt: skip


def add_score_curves(add, cohorts) -> None:
    """Curves of the main model and of the scores of `add_scores`, on the same patients."""
    for i, model in enumerate(("combined_pre", "treat_all", "erasl_pre", "bclc", "tnm8")):
        for cohort in cohorts:
            for t in range(6, 73, 3):
                add("validation/{a}/score_curves.csv", model=model, cohort=cohort, time_months=t, metric="auc",
                    estimate=0.75 - 0.03 * i)  # fmt: skip
            for t in np.linspace(0.05, 0.6, 56):
                add("validation/{a}/score_net_benefit.csv", model=model, cohort=cohort, horizon_months=HORIZONS[0],
                    threshold=t, net_benefit=max(0.25 - 0.02 * i - 0.5 * t, -0.01))  # fmt: skip


def store(tables: dict[str, pd.DataFrame], folder: Path) -> dict[str, Path]:
    """Write the tables; returns the paths by the name the figures give them."""
    paths = {}
    for path, table in tables.items():
        paths[path.replace("{a}", "{analysis}")] = folder / path.replace("{a}", "recommended")
        write_table(table, folder / path.replace("{a}", "recommended"))
    return paths


def literals(name: str) -> dict:
    """The module-level literals, read as the Snakefile reads them: without importing anything."""
    tree = ast.parse((SCRIPTS / "figures" / f"{name}.py").read_text())
    assigned = [(node.targets[0].id, node.value) for node in tree.body if isinstance(node, ast.Assign)]
    wanted = ("INPUTS", "CAPTION", "CATEGORY", "NEEDS", "OUTCOME")
    return {target: ast.literal_eval(value) for target, value in assigned if target in wanted}


def texts(fig) -> str:
    return "\n".join(t.get_text() for t in fig.findobj(lambda artist: hasattr(artist, "get_text")))


def drawn(name: str, paths: dict[str, Path], context: dict = CONTEXT):
    inputs = {key: str(paths[path]) for key, path in literals(name)["INPUTS"].items()}
    return program.draw(name, inputs, context)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return store(invent(), tmp_path_factory.mktemp("invented"))


@pytest.mark.parametrize("name", FIGURES)
def test_literals(name, paths):
    found = literals(name)
    assert set(found) - {"OUTCOME"} == {"INPUTS", "CAPTION", "CATEGORY", "NEEDS"}
    assert found.get("OUTCOME", "survival") in WORDS
    assert set(found["INPUTS"].values()) <= set(paths)
    assert found["CATEGORY"] in (
        "Cohort",
        "Images",
        "Signature",
        "Models",
        "Validation",
        "Survival",
        "Scores",
        "Diagnostic",
    )
    for words in WORDS.values():
        assert "{" not in found["CAPTION"].format(endpoint="TTR", **CONTEXT["said"], **words)


def draw_all(figures, folder):
    """Run the program that draws many figures, on two processes with another hash seed than the tests have."""
    (folder / "figures.json").write_text(json.dumps(figures))
    command = [sys.executable, SCRIPTS / "all_figures.py", "--figures", folder / "figures.json", "--processes", "2"]
    return subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": "7"}, capture_output=True, text=True)


@pytest.fixture(scope="module")
def again(paths, tmp_path_factory):
    """Every figure drawn by two processes, each of which has drawn others before."""
    folder = tmp_path_factory.mktemp("again")
    figures = []
    for name in FIGURES:
        inputs = [f"{key}={paths[path]}" for key, path in literals(name)["INPUTS"].items()]
        options = ["--figure", name, "--input", *inputs, "--output-stem", str(folder / name), "--endpoint", "TTR"]
        figures.append([*options, "--title-note", CONTEXT["title_note"], "--synthetic", *SAID])
    done = draw_all(figures, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", FIGURES)
def test_three_formats_with_equal_bytes(name, paths, again, tmp_path):
    fig, caption = drawn(name, paths)
    assert style.SYNTHETIC in texts(fig)
    style.save(fig, tmp_path / name, f"{name} ({style.SYNTHETIC})", caption)
    for kind in ("svg", "pdf", "png"):
        one, two = (folder / f"{name}.{kind}" for folder in (tmp_path, again))
        assert one.stat().st_size > 1000
        assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(two.read_bytes()).digest(), kind
    assert f"<!-- {style.SYNTHETIC} -->" in (tmp_path / f"{name}.svg").read_text()
    assert style.SYNTHETIC.encode() in (tmp_path / f"{name}.png").read_bytes()[:400]


@pytest.mark.parametrize("cohorts", [COHORTS, ("train",)])
@pytest.mark.parametrize("name", FIGURES)
def test_every_text_is_on_the_page_and_large_enough(name, cohorts, tmp_path):
    fig, _ = drawn(name, store(invent(cohorts), tmp_path))
    fig.draw_without_rendering()
    box, slack = fig.get_tightbbox(), 0.01  # inches
    assert min(box.x0, box.y0) >= -slack
    assert box.x1 <= fig.get_figwidth() + slack and box.y1 <= fig.get_figheight() + slack
    for text in fig.findobj(Text):
        assert text.get_fontsize() >= 6.5


@pytest.mark.parametrize("name", FIGURES)
def test_header_only_tables_give_a_message(name, tmp_path):
    tables = {path: table.head(0) for path, table in invent(("train",)).items()}
    fig, _ = drawn(name, store(tables, tmp_path))
    assert any(word in texts(fig) for word in ("no ", "empty signature"))
    assert style.SYNTHETIC in texts(fig)


@pytest.mark.parametrize("name", ["decision_curve", "score_curves"])
def test_a_cohort_that_does_not_reach_the_horizon_has_no_net_benefit(name, tmp_path):
    tables = {
        path: table.assign(net_benefit=np.nan) if "net_benefit" in table else table for path, table in invent().items()
    }
    fig, _ = drawn(name, store(tables, tmp_path))
    fig.draw_without_rendering()


@pytest.mark.parametrize("name", FIGURES)
def test_missing_numbers_are_blank(name, tmp_path):
    tables = invent()
    for table in tables.values():
        for column in (
            "estimate",
            "lower",
            "upper",
            "p",
            "tpr",
            "observed",
            "hr",
            "icc",
            "se",
            "forest_rank",
            "net_benefit",
        ):
            if column in table:
                table.loc[::2, column] = np.nan
    fig, _ = drawn(name, store(tables, tmp_path))
    fig.draw_without_rendering()
    assert "nan" not in texts(fig)


@pytest.mark.parametrize("name", FIGURES)
def test_hostile_names_are_drawn_as_they_are(name, tmp_path):
    paths = store(invent(odd=HOSTILE), tmp_path)
    fig, caption = drawn(name, paths, CONTEXT | {"title_note": HOSTILE})
    style.save(fig, tmp_path / name, name, caption)
    # a parser sees elements where a comment or attribute was broken out of
    tags = {element.tag.split("}")[-1] for element in ElementTree.parse(tmp_path / f"{name}.svg").iter()}
    assert "script" not in tags
    assert "\x07" not in texts(fig) and "$x$" in texts(fig)


def test_empty_signature_says_so(tmp_path):
    tables = invent()
    tables["signature/{a}/weights.csv"] = tables["signature/{a}/weights.csv"].head(0)
    tables["signature/{a}/selection_frequency.csv"] = tables["signature/{a}/selection_frequency.csv"].head(0)
    tables["signature/{a}/scores.csv"][["score", "score_out_of_fold"]] = 0.0
    paths = store(tables, tmp_path)
    for name in ("weights", "signature", "lasso_path"):
        assert "empty signature: no feature kept" in texts(drawn(name, paths)[0])


def test_training_patients_are_calibrated_by_nested_predictions_where_there_are_any(paths, tmp_path):
    axes = drawn("calibration", paths)[0].axes
    nested = next(ax for ax in axes if "nested" in ax.get_title())
    assert not any("apparent" in ax.get_title() for ax in axes)
    assert any(bar.get_height() > 0 for bar in nested.patches)  # the histogram of their predictions
    tables = invent()
    calibration = tables["validation/{a}/calibration.csv"]
    tables["validation/{a}/calibration.csv"] = calibration[calibration["cohort"] != "train-nested_cv"]
    alone = drawn("calibration", store(tables, tmp_path))[0].axes
    assert any("apparent" in ax.get_title() for ax in alone)


def test_no_label_on_real_data(paths):
    assert style.SYNTHETIC not in texts(drawn("km", paths, CONTEXT | {"synthetic": False})[0])


def test_numbers_at_risk_are_the_tables(paths):
    from figures.km import at_risk

    curve = pd.DataFrame({"time": [0, 5.0, 8.0], "n_risk": [10, 10, 6], "n_event": [0, 3, 1], "n_censor": [0, 1, 4]})
    assert at_risk(curve, np.array([0, 5, 5.1, 8, 12])).tolist() == [10, 10, 6, 6, 1]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("AP_tumour_wavelet-LLH_glcm_Contrast", "AP tumour · wavelet-LLH GLCM Contrast"),
        ("PVP_rim_original_shape_Sphericity", "PVP rim · original shape Sphericity"),
        (
            "PVP_tumour_wavelet-LLL_firstorder_RobustMeanAbsoluteDeviation",
            "PVP tumour · wavelet-LLL first-order RobustMAD",
        ),
        ("PVP_tumour_wavelet-LLL_glszm_SmallAreaLowGrayLevelEmphasis", "PVP tumour · wav-LLL GLSZM SmAreaLoGLEmph"),
        ("age at surgery", "age at surgery"),
    ],
)
def test_feature_labels(name, label):
    assert feature_label(name) == label


def test_unknown_figure_and_missing_table(tmp_path, capsys, monkeypatch):
    options = ["--output-stem", str(tmp_path / "x"), "--endpoint", "TTR", *SAID]
    for figure in ("nothing", "km"):
        monkeypatch.setattr(sys, "argv", ["figure.py", "--figure", figure, *options])
        with pytest.raises(SystemExit):
            program.main()
    shown = capsys.readouterr().err
    assert "no figure 'nothing'" in shown and "needs --input" in shown


def test_one_bad_table_does_not_stop_the_other_figures(paths, tmp_path):
    def figure(name, tables):
        options = ["--figure", name, "--input", *tables, "--output-stem", str(tmp_path / name)]
        return [*options, "--endpoint", "TTR", *SAID]

    good = [f"{key}={paths[path]}" for key, path in literals("flow")["INPUTS"].items()]
    done = draw_all([figure("km", ["km=nowhere.csv", "logrank=nowhere.csv"]), figure("flow", good)], tmp_path)
    assert done.returncode == 1 and "ERROR: nowhere.csv: no such file" in done.stderr
    assert "Traceback" not in done.stderr and (tmp_path / "flow.png").exists()
