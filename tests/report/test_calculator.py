"""The risk calculator in a real browser: it computes what Python computes, says what it lacks, and leaks nothing."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import frozen
import numpy as np
import pandas as pd
import pytest
from browser import console, open_page, requested
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from recur.fit.models import fit_model
from recur.predict.apply import apply_model
from recur.predict.inputs import declared_inputs
from recur.predict.model import applied_design, linear_predictor, risk_at
from recur.predict.nomogram import model_nomogram, total_points
from recur.predict.strata import strata_of
from recur.report.calculator import page
from recur.tables import write_json, write_table
from tests.fit import test_terms

SCRIPT = Path(__file__).parents[2] / "scripts" / "calculator.py"
CASES = 1000
# sets the inputs of each case in the page, and reads what the page then says
RUN = """
const [cases, pick] = arguments;
const model = document.getElementById("model");
model.value = pick;
model.dispatchEvent(new Event("change", {bubbles: true}));
const controls = [...document.querySelectorAll("[data-term]")];
const value = (node) => node ? Number(node.getAttribute("value")) : null;
return cases.map(function (entered) {
  for (const control of controls) control.value = entered[control.dataset.term] ?? "";
  controls[0].dispatchEvent(new Event("input", {bubbles: true}));
  if (document.getElementById("numbers").hidden) return document.getElementById("message").textContent;
  const risks = [...document.querySelectorAll("#risks tr")].map((row) => [...row.querySelectorAll("data")].map(value));
  return {risks, lp: value(document.getElementById("lp")), total: value(document.getElementById("total")),
    group: document.getElementById("of-group").value};
});
"""


@pytest.fixture(scope="module")
def found():
    return frozen.analyses()


@pytest.fixture(scope="module")
def made(found, tmp_path_factory):
    """The page, made by the program from frozen files."""
    folder = tmp_path_factory.mktemp("results")
    columns = ["analysis", "model", "cohort", "metric", "estimate", "lower", "upper", "n", "events"]
    rows = [("recommended", "combined_pre", "external-B", "c_harrell", 0.71, 0.65, 0.77, 90, 40)]
    write_table(pd.DataFrame(rows, columns=columns), folder / "performance.csv")
    write_json(frozen.study(), folder / "study.json")
    models = [str(path) for path in frozen.write_models(folder, found)]
    arguments = ["--study", folder / "study.json", "--performance", folder / "performance.csv", "--models", *models]
    argv, sys.argv = sys.argv, ["calculator.py", *map(str, arguments), "--output", str(folder / "calculator.html")]
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    finally:
        sys.argv = argv
    return folder / "calculator.html"


def options(browser):
    """(analysis, model label) of every choice, in order."""
    groups = browser.find_elements(By.TAG_NAME, "optgroup")
    return [
        (group.get_attribute("label").split(":")[0], option.get_attribute("textContent"))
        for group in groups
        for option in group.find_elements(By.TAG_NAME, "option")
    ]


def lp_interval(model, rows, score):
    """Linear predictor (n,) and its 95 % limits from the covariance of the coefficients, and from nothing else."""
    away = applied_design(model, rows, score) - [column["mean"] for column in model["terms"]]
    covariance = np.asarray(model["covariance"]).reshape(away.shape[1], away.shape[1])
    lp = apply_model(model, rows, score)["lp"].to_numpy()
    half = 1.959963984540054 * np.sqrt(np.einsum("ij,jk,ik->i", away, covariance, away))
    return lp, lp - half, lp + half


def expected(model, rows, score):
    """Python's risks with limits, linear predictor, points and group; risks of a model are [risk, low, high]."""
    lp, low, high = lp_interval(model, rows, score)
    table, other, risks = apply_model(model, rows, score), None, {}
    if "competing" in model:  # the limits move the main hazard only
        other = linear_predictor(model | {"terms": model["competing"]["terms"]}, rows, score)
    for months in model["horizons_months"]:
        limits = [risk_at(model, limit, months, other) for limit in (low, high)]
        risks[months] = np.column_stack([table[f"risk_{months:g}"], *limits])
    return lp, risks, table["group"].tolist()


@pytest.mark.parametrize(
    "analysis, name, order",
    [("recommended", "combined_pre", 0), ("recommended", "volume_only", 4), ("stepwise", "clinical_pre", 5),
     ("competing", "clinical_pre", 7)],
)  # fmt: skip
def test_the_page_says_what_python_says(browser, made, found, analysis, name, order):
    """Random inputs, a quarter of them missing, some outside the training range."""
    model = found[analysis][1][name]
    open_page(browser, made)
    rng = np.random.default_rng(5)
    count = CASES if order == 0 else 200
    rows = frozen.clinical_rows(count, 17, 0.25).assign(tumour_volume=rng.uniform(30, 70, count))
    used = list(dict.fromkeys(c["term"] for c in model["terms"] if c["kind"] != "signature"))
    rows = rows[rows[used].notna().any(axis=1)].reset_index(drop=True)
    score = rng.normal(0, 1.5, len(rows))
    cases = [
        {term: repr(value) if term in ("afp", "tumour_volume") else repr(int(value)) for term, value in row.items()}
        for row in (line.dropna().to_dict() for _, line in rows.iterrows())
    ]
    cases = [case | {"signature": repr(float(value))} for case, value in zip(cases, score, strict=True)]
    said = browser.execute_script(RUN, cases, str(order))
    assert [answer for answer in said if isinstance(answer, str)] == []
    lp, risks, groups = expected(model, rows, score)
    assert np.abs(np.array([answer["lp"] for answer in said]) - lp).max() < 1e-9
    assert [answer["group"] for answer in said] == groups
    equation = model_nomogram(model)
    centre = sum(column["coef"] * column["mean"] for column in model["terms"])
    assert np.abs(np.array([a["total"] for a in said]) - total_points(lp + centre, equation)).max() < 1e-9
    for place, months in enumerate(model["horizons_months"]):
        page_risks = [answer["risks"][place] for answer in said]
        if months > model["follow_up_months"]:
            assert np.isnan(risks[months]).all() and not any(page_risks)  # "none", never a number
        else:
            assert np.abs(np.array(page_risks, float) - risks[months]).max() < 1e-9
    assert console(browser) == []


def test_every_model_of_every_analysis_can_be_chosen(browser, made, found):
    open_page(browser, made)
    listed = options(browser)
    assert [analysis for analysis, _ in listed] == [a for a, (_, models) in found.items() for _ in models]
    assert listed[0] == ("recommended", "Clinical and signature, before the operation")


def test_a_model_without_any_term_gives_everyone_the_same_risk(browser, found, tmp_path):
    """An empty signature is a legal result."""
    train = frozen.training()
    labels = {"analysis": "recommended", "endpoint": "TTR"}
    model = labels | fit_model(train, [], None, frozen.settings(), 1)
    model |= {"inputs": declared_inputs(model, frozen.settings())}
    tables = pd.DataFrame(columns=["analysis", "model", "cohort", "metric", "n", "events"])
    (tmp_path / "c.html").write_text(page({"recommended": {"signature": model}}, frozen.study(), tables))
    open_page(browser, tmp_path / "c.html")
    assert "None: everyone has the same risk." in browser.find_element(By.TAG_NAME, "body").text
    value = float(browser.find_element(By.CSS_SELECTOR, "#risks data").get_attribute("value"))
    assert abs(value - apply_model(model, train.clinical.iloc[:1], None)["risk_24"].iloc[0]) < 1e-12
    assert not browser.find_element(By.ID, "points").is_displayed() and console(browser) == []


def test_missing_inputs_are_filled_in_and_said_so_but_never_the_signature(browser, made):
    open_page(browser, made)
    [answer] = browser.execute_script(RUN, [{"afp": "20"}], "0")
    assert answer == "Radiomics signature is needed: a score is never filled in."
    browser.execute_script(RUN, [{"afp": "20", "signature": "0.1"}], "0")
    remarks = browser.find_element(By.ID, "remarks").text
    assert "margin unknown: filled in by the model's imputer." in remarks and "AFP" not in remarks
    assert "No risk by 120 months: training follow-up ends at" in remarks
    [answer] = browser.execute_script(RUN, [{}], "2")
    assert "at least one input" in answer


def test_what_lies_outside_is_warned_of_or_refused(browser, made):
    open_page(browser, made)
    browser.execute_script(RUN, [{"age": "95", "signature": "0"}], "0")
    assert "outside the training range" in browser.find_element(By.ID, "remarks").text
    [answer] = browser.execute_script(RUN, [{"age": "950", "signature": "0"}], "0")
    assert "is outside the plausible range, 18 to 110" in answer
    box = browser.find_element(By.CSS_SELECTOR, "[data-term=age]")
    assert box.get_attribute("aria-invalid") == "true"


def test_the_page_works_from_the_keyboard_alone(browser, made):
    """Tab reaches every control in order, and typing gives a risk."""
    open_page(browser, made)
    seen = []
    for _ in range(9):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        now = browser.switch_to.active_element
        seen.append(now.get_attribute("data-term") or now.get_attribute("id") or now.tag_name)
        if seen[-1] == "afp":
            now.send_keys("40")
        if seen[-1] == "margin":
            now.send_keys("n")  # non-smooth
        if seen[-1] == "signature":
            now.send_keys("0.5")
    assert seen[:8] == ["model", "afp", "age", "margin", "ascites", "cause", "signature", "clear"]
    assert re.fullmatch(r"\d+\.\d %", browser.find_element(By.CSS_SELECTOR, "#risks data").text)
    assert (
        Select(browser.find_element(By.CSS_SELECTOR, "[data-term=margin]")).first_selected_option.text == "non-smooth"
    )
    browser.find_element(By.ID, "clear").send_keys(Keys.ENTER)
    assert not browser.find_element(By.ID, "numbers").is_displayed()


def test_every_input_has_a_label_and_a_hint(browser, made):
    open_page(browser, made)
    for control in browser.find_elements(By.CSS_SELECTOR, "form select, form input"):
        assert control.accessible_name
        for name in (control.get_attribute("aria-describedby") or "").split():
            assert browser.find_elements(By.ID, name)
    assert browser.find_element(By.CSS_SELECTOR, "[data-term=afp]").accessible_name == "AFP, ng/mL"


def test_it_fits_a_narrow_screen(browser, made):
    open_page(browser, made)
    browser.execute_script(RUN, [{"afp": "20", "signature": "0.1"}], "0")
    try:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
        )
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
        sizes = browser.execute_script(
            "return [...document.querySelectorAll('p, li, td, label, svg text')]"
            ".filter((e) => e.getClientRects().length)"
            ".map((e) => parseFloat(getComputedStyle(e).fontSize))"
        )
        assert min(sizes) >= 12
        row = browser.find_element(By.CSS_SELECTOR, "#risks tr")
        assert row.size["height"] < 60 and row.text == "24 months " + " ".join(
            cell.text for cell in row.find_elements(By.TAG_NAME, "td")
        )
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_it_asks_nothing_of_the_network_and_runs_no_text_of_the_study(browser, made, found):
    open_page(browser, made)
    assert requested(browser) == [made.resolve().as_uri()]
    assert browser.title == "Risk calculator: made" and console(browser) == []
    assert "<img" not in made.read_text()
    html = page(
        {name: models for name, (_, models) in found.items()},
        frozen.study(),
        pd.DataFrame(columns=["analysis", "model", "cohort", "metric", "n", "events"]),
    )
    assert not re.search(r"https?://(?!www\.w3\.org)", html) and html.count("<script") == 2


def test_it_says_what_it_is_not_for(browser, made):
    open_page(browser, made)
    text = browser.find_element(By.TAG_NAME, "body").text
    for words in (
        "For research only",
        "SYNTHETIC DATA",
        "Validation: external centre.",
        "risks are too high",
        "0.710 (0.650 to 0.770)",
    ):
        assert words in text
    browser.execute_script(RUN, [{"age": "60"}], "7")
    text = browser.find_element(By.TAG_NAME, "body").text
    assert "cumulative incidences" in text
    assert "the coefficients of the competing event" in browser.find_element(By.ID, "without").text


@pytest.mark.parametrize("competing", [False, True])
def test_splines_interactions_and_strata_are_those_of_python(browser, tmp_path, competing):
    """Random inputs, some missing; a stratum that training did not have, or none, is refused in words."""
    train = test_terms.training(competing=competing)
    two = train.rows(np.flatnonzero(train.clinical["grade"] < 2))
    model = test_terms.full_model(two) | {"model": "clinical_pre"}
    study = frozen.study()
    analysis = "competing" if competing else "recommended"
    performance = pd.DataFrame(columns=["analysis", "model", "cohort", "metric"])
    (tmp_path / "page.html").write_text(page({analysis: {"clinical_pre": model}}, study, performance))
    open_page(browser, tmp_path / "page.html")
    rng = np.random.default_rng(3)
    rows = train.clinical[["age", "sex", "stage", "grade"]].iloc[:60].reset_index(drop=True)
    rows = rows.mask(rng.random(rows.shape) < 0.15)
    rows["age"] = rows["age"].fillna(70.0)
    cases = [
        {term: repr(value) if term == "age" else repr(int(value)) for term, value in line.dropna().items()}
        for _, line in rows.iterrows()
    ]
    said = browser.execute_script(RUN, cases, "0")
    applied, strata = apply_model(model, rows, None), strata_of(rows, model["strata"]["variables"])
    for place, answer in enumerate(said):
        if np.isnan(applied["lp"][place]):
            assert answer == (
                "No risk: the model was fitted without such patients (stratum)."
                if strata[place]
                else "grade is needed: a baseline risk is never filled in."
            )
            continue
        assert answer["lp"] == pytest.approx(applied["lp"][place], abs=1e-10)
        assert answer["group"] == applied["group"][place]
        risks = [row[0] for row in answer["risks"]]
        assert risks == pytest.approx(applied.loc[place, ["risk_6", "risk_12"]].tolist(), abs=1e-10)
    assert applied["lp"].isna().sum() > 5 and applied["lp"].notna().sum() > 20
    equation = model_nomogram(model)
    centre = sum(column["coef"] * column["mean"] for column in model["terms"])
    known = applied["lp"].notna().to_numpy()
    total = total_points(applied["lp"].to_numpy()[known] + centre, equation)
    assert [answer["total"] for answer in said if not isinstance(answer, str)] == pytest.approx(total, abs=1e-9)
    assert console(browser) == []
