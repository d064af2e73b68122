"""Clinical table, image manifest and planted truth of the synthetic demo cohort.

Every patient has two latent image factors, independent standard normals: `heterogeneity` (texture of the tumour)
and `rim_enhancement` (arterial rim). The hazard of recurrence is Weibull with proportional hazards,
log hazard ratio lp = lp_clinical + lp_image. lp_clinical has the five pre-operative terms of CLINICAL_TERMS, drawn
independently of the image factors; tumour size and number carry no hazard. MVI and satellites follow the image
factors and carry no hazard of their own, so that they predict recurrence only as markers of them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

Signal = Literal["full", "clinical_only", "none"]

N_PATIENTS = (150, 100)
CUTOFF = np.datetime64("2024-06-30")
SURGERIES = {
    "A": (np.datetime64("2013-01-01"), np.datetime64("2019-07-01")),
    "B": (np.datetime64("2014-01-01"), np.datetime64("2020-01-01")),
}
DAYS_PER_MONTH = 30.4375

# Log hazard ratio per unit and the value at which the term is zero. Together they give Harrell's C of about 0.62 for
# lp_clinical and 0.80 for lp (means over 50 seeds, centre B); ratios between terms follow Ji 2020, univariable.
CLINICAL_TERMS = {
    "ln_afp": (0.175, 3.4),
    "margin_nonsmooth": (0.52, 0.40),
    "cirrhosis": (0.47, 0.60),
    "peritumoral_enhancement": (0.76, 0.18),
    "necrosis": (0.43, 0.45),
}
IMAGE_TERMS = {"heterogeneity": 0.95, "rim_enhancement": 0.95}
RECURRENCE_SHAPE = 1.3
RECURRENCE_SCALE_MONTHS = 95.0
DEATH_RATE_PER_MONTH = 0.0030
DEATH_RATE_AFTER_RECURRENCE = 1 / 36
LOSS_RATE_PER_MONTH = 0.0022

MISSING = {
    "afp_ng_ml": 0.01,
    "platelets_10e9_l": 0.01,
    "inr": 0.02,
    "creatinine_umol_l": 0.02,
    "sodium_mmol_l": 0.03,
    "ast_u_l": 0.02,
    "alt_u_l": 0.03,
    "differentiation": 0.02,
}
# Broken patients, numbered on after the sound ones of their centre.
DEFECTS = {
    "A": ["mask_missing", "mask_empty", "mask_other_grid", "duplicate_id", "recurrence_before_surgery"],
    "B": ["no_image_row"],
}
# Patients per 150 of centre A and per 100 of centre B; second readings all come from the training centre, since
# doubly read patients must be in no validation set.
N_SEG = {"A": 4, "B": 2}
N_RTSTRUCT = {"A": 4, "B": 2}
N_NRRD = {"A": 2, "B": 2}
N_NO_LIVER = {"A": 12, "B": 8}
N_READER2 = {"A": 40, "B": 0}

OUTCOME_COLUMNS = [
    "surgery_date",
    "scan_date",
    "recurrence_date",
    "recurrence_number",
    "recurrence_size_cm",
    "recurrence_vascular",
    "recurrence_extrahepatic",
    "death_date",
    "last_contact_date",
    "last_imaging_date",
]


def make_cohort(seed: int, patients: tuple[int, int] = N_PATIENTS) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Make the demo tables (clinical, images, truth) with `patients` of centres A and B, and the broken of DEFECTS.

    truth has one row per patient; clinical has one more, since the duplicated id stands there twice with conflicting
    values; images has one row per patient x phase x reader, paths relative to the manifest's folder.
    """
    ids, defects = [], {}
    for (centre, planted), n in zip(DEFECTS.items(), patients, strict=True):
        ids += [f"{centre}{i:03d}" for i in range(1, n + 1)]
        defects |= {f"{centre}{n + i:03d}": defect for i, defect in enumerate(planted, start=1)}
    ids += defects
    rng = np.random.default_rng([seed, 0])
    truth = pd.DataFrame(
        {
            "patient_id": ids,
            "centre": [patient_id[0] for patient_id in ids],
            "heterogeneity": rng.standard_normal(len(ids)),
            "rim_enhancement": rng.standard_normal(len(ids)),
            "tumour_diameter_mm": rng.triangular(15, 22, 35, len(ids)).round(1),
        }
    )
    truth = truth.sort_values("patient_id", ignore_index=True)
    clinical, lp_clinical, lp_image = _draw(truth, np.random.default_rng([seed, 1]), "full")
    truth["lp_clinical"], truth["lp_image"], truth["lp"] = lp_clinical, lp_image, lp_clinical + lp_image
    truth["defect"] = truth["patient_id"].map(defects).fillna("")
    truth["synthetic"] = 1
    columns = ["patient_id", "centre", "heterogeneity", "rim_enhancement", "lp_clinical", "lp_image", "lp"]
    truth = truth[[*columns, "tumour_diameter_mm", "defect", "synthetic"]]
    images = draw_manifest(truth, np.random.default_rng([seed, 2]))
    return _plant_clinical_defects(clinical, truth), images, truth


def redraw(truth: pd.DataFrame, clinical: pd.DataFrame, seed: int, signal: Signal) -> pd.DataFrame:
    """Draw clinical columns and outcomes afresh for the patients of `clinical`; image factors and tumour size stay.

    The images, and features cached from them, therefore stay valid. The hazard comes from the new clinical terms and
    the image factors (`full`), from the clinical terms alone (`clinical_only`), or from neither (`none`). Returns a
    table in the format of clinical.csv, one clean row per patient id.
    """
    kept = truth[truth["patient_id"].isin(clinical["patient_id"])].reset_index(drop=True)
    numbers = ["heterogeneity", "rim_enhancement", "tumour_diameter_mm"]
    kept = kept.assign(**{column: kept[column].astype(float) for column in numbers})
    return _draw(kept, np.random.default_rng([seed, 3]), signal)[0]


def simulate_outcomes(lp: np.ndarray, centre: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Dates of surgery, scan, recurrence, death and last contacts for n patients; columns OUTCOME_COLUMNS.

    lp: (n,) log hazard ratio of recurrence; centre: (n,) keys of SURGERIES. Weibull recurrence (inverse transform,
    Bender 2005), exponential death without recurrence, exponential death after it, exponential loss to follow-up
    independent of all, administrative end at CUTOFF. What lies after a patient's last contact is not recorded.
    """
    n = len(lp)
    lp = np.asarray(lp, dtype=float)
    first, last = (np.array([SURGERIES[c][end] for c in centre]) for end in (0, 1))
    surgery = first + np.floor(rng.random(n) * (last - first).astype(int)).astype("timedelta64[D]")
    scan = surgery - rng.integers(2, 29, n).astype("timedelta64[D]")

    recurrence = RECURRENCE_SCALE_MONTHS * (rng.exponential(size=n) * np.exp(-lp)) ** (1 / RECURRENCE_SHAPE)
    death = rng.exponential(1 / DEATH_RATE_PER_MONTH, n)
    survival_after = rng.exponential(1 / DEATH_RATE_AFTER_RECURRENCE, n)
    death = np.where(recurrence < death, recurrence + survival_after, death)
    lost = rng.exponential(1 / LOSS_RATE_PER_MONTH, n)
    recurrence, death, lost = (_days(months) for months in (recurrence, death, lost))

    # The last visit before the cut-off is on another day for each patient: contacts must not pile up on the cut-off.
    end = np.minimum(lost, (CUTOFF - surgery).astype(int) - rng.integers(0, 121, n))
    end = np.maximum(end, 2)
    died = death <= end
    contact = np.where(died, death, end)
    recurred = recurrence < contact
    # The last image without recurrence lies one surveillance interval before a recurrence, else weeks before the end.
    gap = np.where(recurred, rng.integers(60, 184, n), rng.integers(0, 46, n))
    imaging = np.where(recurred, recurrence, contact) - gap

    number = 1 + rng.poisson(np.exp(0.1 + 0.35 * np.clip(lp, -2, 2)))
    size = np.clip(rng.lognormal(0.75, 0.45, n), 0.6, 12).round(1)
    vascular, extrahepatic = (rng.random(n) < p * np.exp(0.4 * np.clip(lp, -2, 2)) for p in (0.07, 0.10))
    size_known = rng.random(n) > 0.03

    def at_recurrence(values: np.ndarray, known: np.ndarray | bool = True) -> np.ndarray:
        return np.where(recurred & known, values.astype(float), np.nan)

    def on_day(days: np.ndarray, known: np.ndarray | bool = True) -> np.ndarray:
        dates = np.datetime_as_string(surgery + days.astype("timedelta64[D]"), unit="D")
        return np.where(known, dates.astype(object), None)

    return pd.DataFrame(
        {
            "surgery_date": on_day(np.zeros(n, dtype=int)),
            "scan_date": np.datetime_as_string(scan, unit="D").astype(object),
            "recurrence_date": on_day(recurrence, recurred),
            "recurrence_number": at_recurrence(number),
            "recurrence_size_cm": at_recurrence(size, size_known),
            "recurrence_vascular": at_recurrence(vascular),
            "recurrence_extrahepatic": at_recurrence(extrahepatic),
            "death_date": on_day(death, died),
            "last_contact_date": on_day(contact),
            "last_imaging_date": on_day(imaging, imaging > 0),
        }
    )[OUTCOME_COLUMNS]


def draw_manifest(truth: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Image manifest of the cohort: formats, second readers and missing liver masks spread over sound patients."""
    reader2, no_liver, formats = set(), set(), {}
    for centre, usual in zip(DEFECTS, N_PATIENTS, strict=True):
        sound = truth.loc[(truth["centre"] == centre) & (truth["defect"] == ""), "patient_id"].to_numpy()

        def share(counts: dict[str, int], centre: str = centre, size: float = len(sound) / usual) -> int:
            return round(counts[centre] * size)

        queue = iter(rng.permutation(sound))
        for source, counts in (("seg", N_SEG), ("rtstruct", N_RTSTRUCT), ("nrrd", N_NRRD)):
            formats |= {next(queue): source for _ in range(share(counts))}
        no_liver |= {next(queue) for _ in range(share(N_NO_LIVER))}
        reader2 |= set(rng.permutation(sound)[: share(N_READER2)])
    rows = []
    for patient_id, defect in zip(truth["patient_id"], truth["defect"], strict=True):
        if defect == "no_image_row":
            continue
        for phase in ("AP", "PVP"):
            for reader in ("reader1", "reader2") if patient_id in reader2 else ("reader1",):
                files = _files(f"images/{patient_id}/{phase}", reader, formats.get(patient_id, "nifti"))
                if patient_id in no_liver:
                    files |= {"liver_mask": None, "liver_label": None}
                rows.append({"patient_id": patient_id, "phase": phase, "reader": reader} | files)
    return pd.DataFrame(rows)


def _files(stem: str, reader: str, source: str) -> dict[str, str | None]:
    """File names and labels of one reading; the suffixes tell demo_images what to write."""
    keys = ("image", "mask", "mask_label", "liver_mask", "liver_label")
    if source == "nifti":
        values = (f"{stem}.nii.gz", f"{stem}_{reader}_tumour.nii.gz", None, f"{stem}_liver.nii.gz", None)
    elif source == "nrrd":
        labels = f"{stem}_{reader}_labels.nrrd"
        values = (f"{stem}.nrrd", labels, "1", labels, "2")
    else:
        both = f"{stem}_{reader}_{source}.dcm"
        values = (f"{stem}_dicom", both, "Tumour", both, "Liver")
    return dict(zip(keys, values, strict=True))


def _draw(truth: pd.DataFrame, rng: np.random.Generator, signal: Signal) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Clinical table in the format of clinical.csv, with lp_clinical and lp_image (n,) of its patients."""
    factors = truth["heterogeneity"].to_numpy(), truth["rim_enhancement"].to_numpy()
    covariates, lp_clinical = _draw_covariates(truth, rng)
    lp_image = IMAGE_TERMS["heterogeneity"] * factors[0] + IMAGE_TERMS["rim_enhancement"] * factors[1]
    if signal == "full":
        lp = lp_clinical + lp_image
    elif signal == "clinical_only":
        lp = lp_clinical
    else:
        # A stranger's linear predictor keeps the rate of recurrence and tells nothing about these patients.
        lp = rng.permutation(lp_clinical) + rng.normal(0, np.hypot(*IMAGE_TERMS.values()), len(truth))
    outcomes = simulate_outcomes(lp, truth["centre"].to_numpy(), rng)
    for column, share in MISSING.items():
        covariates.loc[rng.random(len(truth)) < share, column] = None
    clinical = pd.concat([covariates, outcomes], axis=1)
    clinical["synthetic"] = 1
    return clinical, lp_clinical, lp_image


def _draw_covariates(truth: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    n = len(truth)
    external = (truth["centre"] == "B").to_numpy()
    size = (truth["tumour_diameter_mm"] / 10).round(1).to_numpy()

    def flag(probability: float | np.ndarray) -> np.ndarray:
        return (rng.random(n) < probability).astype(int)

    # Centre B is a little older and has less AFP: some case-mix shift, too little to change the C-index.
    ln_afp = np.clip(rng.normal(np.where(external, 3.2, 3.5), 2.1, n), np.log(0.61), np.log(30000))
    terms = {
        "ln_afp": ln_afp,
        "margin_nonsmooth": flag(0.40),
        "cirrhosis": flag(0.60),
        "peritumoral_enhancement": flag(0.18),
        "necrosis": flag(0.45),
    }
    lp_clinical = sum(beta * (terms[name] - zero) for name, (beta, zero) in CLINICAL_TERMS.items())

    albumin = np.clip(rng.normal(41 - terms["cirrhosis"], 4.0, n), 30, 52).round(1)
    ast = np.clip(rng.lognormal(3.55, 0.40, n), 10, 300).round(0)
    pathology = 0.7 * (truth["heterogeneity"] + truth["rim_enhancement"]).to_numpy()
    covariates = pd.DataFrame(
        {
            "patient_id": truth["patient_id"],
            "centre": truth["centre"],
            "sex": np.where(rng.random(n) < 0.75, "M", "F").astype(object),
            "age": np.clip(rng.normal(np.where(external, 60, 57), 10, n), 25, 86).round(0).astype(int),
            "afp_ng_ml": np.round(np.exp(ln_afp), 2),
            "margin": np.where(terms["margin_nonsmooth"] == 1, "non-smooth", "smooth").astype(object),
            "cirrhosis": terms["cirrhosis"],
            "peritumoral_enhancement": terms["peritumoral_enhancement"],
            "necrosis": terms["necrosis"],
            "mvi": flag(1 / (1 + np.exp(1.1 - pathology))),
            "satellites": flag(1 / (1 + np.exp(2.0 - pathology))),
            "tumour_size_cm": size,
            # Several nodules only up to 3 cm: every patient stays within Milan and BCLC 0/A.
            "tumour_number": np.where((size <= 3) & (rng.random(n) < 0.15), rng.integers(2, 4, n), 1),
            "macrovascular_invasion": 0,
            "extrahepatic_disease": 0,
            # Ascites only with good albumin: every patient stays in Child-Pugh A.
            "ascites": np.where((albumin > 36) & (rng.random(n) < 0.05), "mild", "none").astype(object),
            "encephalopathy": 0,
            "ecog": 0,
            "bilirubin_umol_l": np.clip(rng.lognormal(2.6, 0.35, n), 4, 33).round(1),
            "albumin_g_l": albumin,
            "platelets_10e9_l": np.clip(rng.lognormal(5.0 - 0.2 * terms["cirrhosis"], 0.35, n), 30, 450).round(0),
            "inr": np.clip(rng.normal(1.06, 0.08, n), 0.85, 1.5).round(2),
            "creatinine_umol_l": np.clip(rng.normal(72, 13, n), 40, 130).round(0),
            "sodium_mmol_l": np.clip(rng.normal(140, 2.3, n), 130, 148).round(0),
            "ast_u_l": ast,
            "alt_u_l": np.clip(ast * rng.lognormal(0, 0.30, n), 8, 400).round(0),
            "differentiation": rng.choice(
                np.array(["I", "II", "III", "IV"], dtype=object), n, p=[0.1, 0.5, 0.35, 0.05]
            ),
        }
    )
    return covariates, lp_clinical


def _plant_clinical_defects(clinical: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """The two defects that live in the clinical table; all others live in the images."""
    defect_of = clinical["patient_id"].map(dict(zip(truth["patient_id"], truth["defect"], strict=True)))
    before = defect_of == "recurrence_before_surgery"
    day = pd.to_datetime(clinical.loc[before, "surgery_date"]) - pd.Timedelta(days=40)
    clinical.loc[before, "recurrence_date"] = day.dt.strftime("%Y-%m-%d")
    clinical.loc[before, ["recurrence_number", "recurrence_vascular", "recurrence_extrahepatic"]] = [1, 0, 0]
    clinical.loc[before, "recurrence_size_cm"] = 2.0
    twin = clinical[defect_of == "duplicate_id"].copy()
    twin["age"] += 7
    twin["sex"] = twin["sex"].map({"M": "F", "F": "M"})
    return pd.concat([clinical, twin]).sort_values("patient_id", kind="stable", ignore_index=True)


def _days(months: np.ndarray) -> np.ndarray:
    """Whole days, at least one, and short enough for any calendar."""
    return np.clip(np.ceil(months * DAYS_PER_MONTH), 1, 36500).astype(int)
