"""A study of the demo's clinical columns with made-up features, endpoints without a time, and no image."""

from pathlib import Path

import numpy as np
import yaml
from small import ROOT

from recur.demo.tables import make_cohort
from recur.tables import write_table

QUICK = {"learning_repeats": 1, "resamples": 2, "nested_folds": 3, "nested_repeats": 2, "splits": 0}
ANALYSES = {
    "mvi": {"endpoint": "MVI", "ablations": True, "internal_validation": QUICK},
    "published": {
        "endpoint": "early24", "preset": "ji2020", "split": {"kind": "random"}, "internal_validation": QUICK,
        "ranking": {"trees": 20, "keep": 5},
    },
}  # fmt: skip


def write_study(folder: Path, patients: tuple[int, int] = (110, 60), seed: int = 1) -> Path:
    """The study file `folder`/binary.yaml with its tables; microvascular invasion follows two of the features."""
    clinical, _, _ = make_cohort(seed, patients)
    rng = np.random.default_rng(seed)
    names = [f"AP_{region}_original_glcm_F{j}" for region in ("tumour", "rim") for j in range(8)]
    features = clinical[["patient_id"]].assign(**{name: rng.normal(size=len(clinical)) for name in names})
    log_odds = 1.2 * features[names[0]] - 0.9 * features[names[9]] + 0.5 * (clinical["margin"] == "non-smooth")
    clinical["mvi"] = (rng.random(len(clinical)) < 1 / (1 + np.exp(-log_odds))).astype(int)
    write_table(clinical, folder / "clinical.csv")
    write_table(features.drop_duplicates("patient_id"), folder / "features.csv")
    demo = yaml.safe_load((ROOT / "config.yaml").read_text())
    study = {key: demo[key] for key in ("clinical", "split", "horizons_months", "thresholds", "synthetic", "on_error")}
    study["clinical"]["table"] = "clinical.csv"
    study |= {
        "study": "binary", "seed": 1, "features": {"table": "features.csv"}, "primary": "mvi",
        "endpoints": {
            "MVI": {"kind": "binary", "column": "mvi", "label": "Microvascular invasion"},
            "early": {"kind": "early_recurrence"},
            "early24": {
                "kind": "binary", "of": "early", "censored": "left_out", "cutpoint_sensitivity": 0.9,
                "label": "Early recurrence",
            },
        },
        "candidates": {"pre": ["ln_afp", "margin_nonsmooth"], "post": ["mvi"]}, "analyses": ANALYSES,
    }  # fmt: skip
    path = folder / "binary.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False, allow_unicode=True))
    return path
