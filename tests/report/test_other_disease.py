"""A study of death after radiotherapy of lung cancer: no page, table or figure speaks of another disease or outcome."""

from __future__ import annotations

import ast
import re

import frozen
import pandas as pd
import pytest
import yaml
from report_notebook import sections

from recur.report import calculator, methods, model_card
from recur.report import diagnostic_page as diagnostic_report
from recur.report.manuscript import as_html, manuscript_tables
from recur.report.pages import blocks_page
from recur.report.results import run_of
from recur.sources import ROOT
from recur.tables import read_made, write_table
from recur.validation.guards import evaluate
from recur.vocabulary import WORDS, analysis_words, study_words
from tests.figures.test_figures import CONTEXT, FIGURES, drawn, invent, literals, store, texts
from tests.validation.test_guards import FIRE, sound

FOREIGN = re.compile(
    r"recur(?!\.)|resect|\bHCC\b|hepat|\bliver|Milan|operat(?!or|ing)|surg|pre-?op|post-?op", re.IGNORECASE
)
WORDING = {"disease": "lung cancer", "treatment": "radiotherapy", "event": "death"}
ENDPOINTS = {
    "OS": {"kind": "recorded", "time": "t", "event": "e", "counts_death": True, "label": "Overall survival"},
    "local": {"kind": "recorded", "time": "t", "event": "e", "counts_death": False, "competing_value": 2},
}
# what the made-up tables say by themselves: reasons, notes of scores
# cells of tables, dates and kinds of endpoints that a study declares
OF_THEIR_OWN = (
    "vocabulary.py",
    "study/coding.py",
    "study/contradictions.py",
    "cohort/coding_problems.py",
    "study/file.py",
    "cohort/clinical.py",
    "cohort/dates.py",
    "cohort/endpoints.py",
    "study/endpoints.py",
    "features/imported.py",
    "report/processing_sheet.py",
    "report/qc_page.py",
)
PNG = bytes.fromhex("89504e470d0a1a0a")
OWN_WORDS = ("postoperative score", "against a preoperative model", "the shell is in the liver", "date before surgery")


@pytest.fixture(scope="module")
def study():
    made = frozen.study() | {"wording": WORDING, "endpoints": ENDPOINTS, "synthetic": False, "title": "Lung"}
    made["clinical"] = made["clinical"] | {"dates": {}}
    for name, analysis in made["analyses"].items():
        analysis["endpoint"] = "local" if name == "competing" else "OS"
    return made


@pytest.fixture(scope="module")
def results(study, tmp_path_factory):
    """The made-up tables of every floor, and models fitted on made-up patients."""
    folder = tmp_path_factory.mktemp("lung")
    # published scores are of livers; the report reads more columns of the others than figures do
    left_out = re.compile("score|icc|transport")
    tables = {path: table for path, table in invent().items() if not left_out.search(path)}
    store(tables, folder)
    for name in ("performance", "guards"):
        rows = tables["validation/{a}/performance.csv"] if name == "performance" else fired_flags()
        write_table(rows.assign(analysis="recommended"), folder / f"validation/{name}.csv")
        write_table(rows.assign(analysis="recommended"), folder / f"validation/recommended/{name}.csv")
    frozen.write_models(folder, frozen.analyses())
    (folder / "study.resolved.yaml").write_text(yaml.safe_dump(study))
    return folder


def fired_flags() -> pd.DataFrame:
    """Every guard that can fire, fired in a study of relapse after radiotherapy."""
    rows = []
    for number, change in FIRE.items():
        facts = sound()
        change(facts)
        facts["study"]["endpoints"] = {"E": {"kind": "recorded", "counts_death": False}}
        facts["study"]["wording"] = WORDING | {"event": "relapse"}
        table = evaluate(facts)
        rows.append(table[(table["guard"] == number) | (table["status"] == "blocked")])
    return pd.concat(rows).drop_duplicates("guard")


def foreign(text: str) -> list[str]:
    """The places of a text that speak of another disease, treatment or outcome."""
    text = " ".join(text.split())
    for own in OWN_WORDS:
        text = text.replace(own, "")
    return [text[max(found.start() - 60, 0) : found.end() + 40] for found in FOREIGN.finditer(text)]


def captions_of(words: dict[str, str]) -> dict[str, list[str]]:
    found = {name: literals(name) for name in FIGURES}
    return {
        f"recommended/{name}": [one["CATEGORY"], one["CAPTION"].format(endpoint="OS", **WORDS["survival"], **words)]
        for name, one in found.items()
    }


def test_the_report(results, study):
    captions = captions_of(analysis_words(study, "recommended"))
    folder = results / "figures/recommended"
    folder.mkdir(parents=True)
    for name in FIGURES:
        (folder / f"{name}.png").write_bytes(PNG)
    page = sections(run_of(results, study, captions))
    assert "before radiotherapy" in page and "Free of" not in page
    assert foreign(page) == []


def test_the_flags_of_the_guards():
    table = fired_flags()
    assert set(FIRE) <= set(table.loc[table["status"] == "fired", "guard"]) | {18}
    assert "Death without relapse is censored" in " ".join(table["text"])
    assert foreign(" ".join(table["title"] + " " + table["text"])) == []


def test_the_calculator(results, study):
    found = {name: models for name, (_, models) in frozen.analyses().items()}
    page = calculator.page(found, study, read_made(results / "validation/performance.csv"))
    assert "Clinical and signature, before radiotherapy" in page
    assert foreign(page) == []


def test_the_model_card(results, study):
    found = frozen.analyses()
    said = {name: methods.methods(results, study, name) for name in found}
    none = pd.DataFrame(columns=["patient_id", "centre", "cohort", "event"])
    blocks = model_card.card({
        "study": study, "models": {name: models for name, (_, models) in found.items()},
        "signatures": {name: signature for name, (signature, _) in found.items() if signature},
        "cohorts": dict.fromkeys(found, none), "methods": said,
        "performance": read_made(results / "validation/performance.csv"),
        "guards": read_made(results / "validation/guards.csv"),
        "versions": {}, "licence": "MIT", "manifest": None,
    })  # fmt: skip
    text = model_card.markdown(blocks)
    assert "Research on lung cancer after radiotherapy" in text
    assert foreign(text) == []


def test_the_tables_of_the_manuscript(results, study):
    pages = "".join(map(as_html, manuscript_tables(results, "recommended", study_words(study))))
    assert "before radiotherapy" in pages and foreign(pages) == []


def test_the_page_of_a_diagnostic_study(results):
    assert foreign(blocks_page(diagnostic_report.blocks(results, []), "Diagnostic study")) == []


@pytest.mark.parametrize(
    "name, endpoint", [*((name, "OS") for name in FIGURES), ("km", "local"), ("incidence", "local")]
)
def test_figures(name, endpoint, study, paths):
    free = {"OS": "Survival", "TTR": "Survival"}
    said = analysis_words(study, "competing" if endpoint == "local" else "recommended") | {"free_of": free}
    figure, caption = drawn(name, paths, CONTEXT | {"endpoint": endpoint, "said": said})
    shown = texts(figure)
    if name == "example":
        shown = shown.replace("Liver", "")  # a label of the made-up image
    assert foreign(f"{shown}\n{caption}") == []


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return store(invent(), tmp_path_factory.mktemp("invented"))


def test_words_of_one_disease_stand_in_the_wording_and_the_demo_only():
    """Elsewhere no text for people holds them: a string with a blank that is no docstring."""
    words = re.compile(r"\brecurr|\bresection|\bHCC\b|hepatocellular|\bthe liver", re.IGNORECASE)
    found = {}
    for path in ROOT.glob("scripts/**/*.py"):
        place = path.relative_to(ROOT / "scripts").as_posix().removeprefix("recur/")
        if place in OF_THEIR_OWN or {"demo", "images"} & set(path.parts):
            continue
        tree = ast.parse(path.read_text())
        said = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        docs = [
            node.value.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and hasattr(node.value, "value")
        ]
        told = [text for text in said if " " in text and text not in docs and words.search(text)]
        found |= {place: told} if told else {}
    assert found == {}
    texts_of_pages = [ROOT / "report/texts.yaml", *ROOT.glob("scripts/recur/report/templates/calculator.*")]
    assert [path.name for path in texts_of_pages if words.search(path.read_text())] == []
