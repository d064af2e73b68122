"""The model card says what the frozen files say, and nothing of the study becomes markup."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import frozen
import numpy as np
import pandas as pd
import pytest
import yaml
from browser import console, open_page, requested

from recur.report.model_card import markdown, study_of_images
from recur.sources import ROOT
from recur.statistics.cox import survival_at
from recur.study.file import resolve
from recur.tables import write_json, write_table

EVIL = frozen.EVIL


@pytest.fixture(scope="module")
def found():
    return frozen.analyses()


@pytest.fixture(scope="module")
def folder(found, tmp_path_factory):
    """Results of a made-up study with its card, made by the program."""
    folder = tmp_path_factory.mktemp("results")
    frozen.write_models(folder, found)
    write_json(frozen.study(), folder / "study.json")
    columns = ["analysis", "model", "cohort", "metric", "horizon_months", "estimate", "lower", "upper", "n", "events"]
    write_table(pd.DataFrame([
        ("recommended", "clinical_pre", "external-B", "c_harrell", np.nan, 0.61, 0.55, 0.67, 90, 40),
        ("recommended", "combined_pre", "train-apparent", "c_harrell", np.nan, 0.88, 0.80, 0.91, 160, 96),
        ("recommended", "combined_pre", "external-B", "c_harrell", np.nan, 0.71, 0.65, 0.77, 90, 40),
        ("recommended", "combined_pre", "external-B", "calibration_slope", np.nan, 0.9, 0.6, 1.2, 90, 40),
        ("recommended", "combined_pre", "external-B", "oe_ratio", 24, 1.1, 0.8, 1.5, 90, 40),
        ("recommended", "combined_pre", "train-nested_cv", "c_harrell", np.nan, 0.73, 0.68, 0.78, 160, 96),
    ], columns=columns), folder / "validation/performance.csv")  # fmt: skip
    guards = [("recommended", 5, "fired", "Random split", f"It fired | {EVIL}."), ("recommended", 6, "clear", "t", "")]
    guards = pd.DataFrame(guards, columns=["analysis", "guard", "status", "title", "text"])
    write_table(guards, folder / "validation/guards.csv")
    for name in found:
        train = frozen.training(competing=name == "competing")
        rows = pd.DataFrame(
            {"patient_id": train.patient_id, "centre": "A", "cohort": "train", "event": train.outcome.event}
        )
        write_table(rows, folder / f"cohort/{name}/train.csv")
        held = rows.iloc[:2].assign(centre="B*", cohort="external-B")
        write_table(held, folder / f"cohort/{name}/heldout.csv")
    arguments = [
        "--study",
        "study.json",
        "--citation",
        ROOT / "CITATION.cff",
        "--results",
        folder,
        "--analyses",
        *found,
    ]
    arguments[1] = folder / arguments[1]
    arguments += ["--markdown", folder / "card.md", "--html", folder / "card.html"]
    argv, sys.argv = sys.argv, ["model_card.py", *map(str, arguments)]
    try:
        runpy.run_path(str(ROOT / "scripts/model_card.py"), run_name="__main__")
    finally:
        sys.argv = argv
    return folder


def test_it_holds_every_section_and_both_files_say_the_same(folder):
    text, page = (folder / "card.md").read_text(), (folder / "card.html").read_text()
    sections = ["Intended use", "Not for", "Data", "Analysis recommended: Time to recurrence", "Limits", "How to apply"]
    for section in sections:
        assert f"## {section}" in text and f"<h2>{section}</h2>" in page
    assert "SYNTHETIC DATA" in text and "SYNTHETIC DATA" in page
    assert "| recommended | Time to recurrence | Centre B, external | 2 |" in text and "B\\* (2)" in text
    assert "MIT licence" in text and "this workflow 0." in text


def test_the_equation_of_the_card_gives_the_linear_predictor(folder, found):
    """Terms, means, coefficients, baseline survival and cut-point, as printed."""
    model = found["recommended"][1]["combined_pre"]
    part = (folder / "card.md").read_text().split("### combined\\_pre")[1].split("### ")[0]
    for column in model["terms"]:
        assert f"| {column['mean']:.6g} | {column['coef']:.6g} | {column['se']:.6g} |" in part
    baseline = survival_at(model["baseline"]["time"], model["baseline"]["survival"], 24)
    assert f"S0(24 months) = {baseline:.6g}; no risk at 120 months" in part
    assert f"above a linear predictor of {model['cutpoint']['lp']:.6g}" in part
    assert "| ln(AFP) | " in part
    assert "| AFP | afp\\_ng\\_ml | ng/mL | number |" in part and "0 to 1e+06 | filled in" in part
    assert "smooth, non-smooth" in part


def test_performance_leads_with_nested_rows_of_the_headline_model_and_leaves_out_apparent_ones(folder):
    text = (folder / "card.md").read_text()
    lines = [line for line in text.splitlines() if "0.730 (0.680 to 0.780)" in line or "0.710 (0.650" in line]
    combined = "Clinical and signature, before the operation"
    assert lines[0].startswith(f"| {combined} | Training, nested cross-validation | 160 | 96 |")
    assert lines[1] == f"| {combined} | Centre B, external | 90 | 40 | 0.710 (0.650 to 0.770) |"
    assert f"| {combined} | Centre B, external | 90 | 40 | 0.900 (0.600 to 1.200) | 1.100 (0.800 to 1.500) |" in text
    assert "0.880" not in text and "Observed / expected, 24 months" in text


def test_calibration_elsewhere_is_judged_in_a_sentence(folder):
    assert "Calibration, Centre B, external: no departure was seen (40 events)" in (folder / "card.md").read_text()


def test_guards_that_fired_are_listed_and_no_others(folder):
    text = (folder / "card.md").read_text()
    assert "- Guard 5, Random split: It fired" in text and "Guard 6" not in text


def test_no_text_of_the_study_becomes_markup(folder, browser):
    text, page = (folder / "card.md").read_text(), (folder / "card.html").read_text()
    assert "<" not in text and "<script" not in page and "<img" not in page and not re.search(r"https?://", page)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == row.count("|") - row.count("\\|") for row in rows)
    open_page(browser, folder / "card.html")
    assert console(browser) == [] and requested(browser) == [(folder / "card.html").resolve().as_uri()]


def test_markdown_shows_text_as_it_is():
    assert markdown([("p", "a_b *c* <d>\n[e](f) `g` $h$")]) == "a\\_b \\*c\\* &lt;d&gt; \\[e\\](f) \\`g\\` \\$h\\$\n"


def test_the_printed_study_file_extracts_as_the_study_did(tmp_path, monkeypatch):
    """It is a valid study without analyses, with everything that goes into the manifest hash."""
    monkeypatch.chdir(ROOT)
    study = resolve("config.yaml")
    text = study_of_images(study, "c" * 64)
    (tmp_path / "new.yaml").write_text(text)
    again = resolve(tmp_path / "new.yaml")
    keys = ("modality", "normalise", "n4", "nonuniform", "mask_grid", "lesions", "lesion_aggregate", "regions")
    for key in (*keys, "phases", "extraction"):
        assert again["images"][key] == study["images"][key]
    assert again["images"]["extraction_manifest"] == "c" * 64 and not again["analyses"]
    assert "/demo/" not in text and yaml.safe_load(text)["clinical"]["id"] == "patient_id"


def test_the_program_asks_for_nothing_that_the_rule_does_not_give(folder):
    rule = (Path(ROOT) / "rules/report.smk").read_text().split("rule model_card")[1]
    for option in ("--study", "--results", "--analyses", "--citation", "--markdown", "--html"):
        assert option in rule
