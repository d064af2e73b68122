"""How numbers are printed: one way everywhere."""

import ast
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from recur.images.manifest import PHASES
from recur.report.limits import with_holders
from recur.report.manuscript import cox
from recur.report.methods import facts, methods, sentences, texts
from recur.report.models import cells_imputed
from recur.report.outcome import horizon_facts
from recur.report.patients import median_text
from recur.report.summary import plain_reading, what_it_holds
from recur.sources import ROOT
from recur.study.file import resolve
from recur.tables import write_frozen, write_table
from recur.vocabulary import (
    COHORTS,
    METRICS,
    MODELS,
    REGIONS,
    SHARES,
    about,
    cohort_title,
    interval,
    is_of_ji,
    lower_first,
    number,
    p_said,
    p_text,
    study_words,
)

WORDS = study_words({})


@pytest.mark.parametrize(
    "p, cell, said",
    [
        (0.996, ">0.99", "p > 0.99"),
        (0.0004, "<0.001", "p < 0.001"),
        (0.0, "<0.001", "p < 0.001"),
        (0.0042, "0.004", "p = 0.004"),
        (0.0496, "0.050", "p = 0.050"),
        (0.034, "0.03", "p = 0.03"),
        (float("nan"), "", ""),
        (">0.99", ">0.99", "p > 0.99"),
    ],
)
def test_a_p_value_has_the_same_digits_in_a_cell_a_sentence_and_a_figure(p, cell, said):
    assert p_text(p) == cell and p_said(p) == said
    assert p_said(p, "log-rank ") == (f"log-rank {said}" if said else "")


def test_no_number_is_minus_nothing():
    row = pd.Series({"estimate": -3e-12, "lower": -0.0004, "upper": 0.3})
    assert interval(row) == "0.000 (0.000 to 0.300)"
    assert number(-0.001) == "0.00" and number(-0.01) == "−0.01"


@pytest.mark.parametrize(
    ("change", "said", "unsaid"),
    [
        ({}, "Patients were split at random, 67 %", "all centres|image|features|scanners"),
        (
            {"clinical": {"centre": "site"}},
            "Patients of all centres were split at random, 67 %",
            "image|without features",
        ),
        ({"candidates": {"pre": []}}, "before any model was fitted", "Missing clinical cells"),
    ],
)
def test_a_study_of_a_clinical_table_says_nothing_of_centres_images_and_features_it_has_not(
    tmp_path, change, said, unsaid
):
    """whas500: one table of one cohort."""
    age = {"column": "age", "kind": "numeric", "timing": "pre"}
    raw = {
        "study": "small",
        "clinical": {"table": "t.csv", "id": "id", "variables": {"age": age}} | change.get("clinical", {}),
        "endpoints": {"E": {"kind": "recorded", "time": "time", "event": "event", "counts_death": True}},
        "split": {"kind": "random"},
        "candidates": change.get("candidates", {"pre": ["age"]}),
        "analyses": {"main": {"preset": "recommended", "endpoint": "E"}},
    }
    (tmp_path / "t.csv").touch()
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(raw))
    study = resolve(tmp_path / "study.yaml")
    limits = sentences(texts()["limitations"], facts(tmp_path, study, "main"))
    everything = " ".join([*(text for _, text in methods(tmp_path, study, "main")), *limits])
    assert said in everything and not re.search(unsaid, everything)


def test_no_program_formats_p_values_by_itself():
    """`p = 0.000` came from a format of its own; p-values recomputed from a manuscript keep theirs."""
    own = re.compile(r"""\bp (= |<= )?\{[\w.\[\]"']*:\.\df\}|\{[\w.\[\]"']*\bp(_\w+)?["'\]]*:\.\df\}""")
    files = [path for path in ROOT.glob("scripts/**/*.py") if path.name not in ("vocabulary.py", "statements.py")]
    found = {path.name: line for path in files for line in path.read_text().splitlines() if own.search(line)}
    assert found == {}


STUDY = {
    "analyses": {"a": {"endpoint": "E", "preset": "ji2020"}},
    "endpoints": {"E": {"kind": "time_to_recurrence"}},
    "wording": {"disease": "hepatocellular carcinoma", "treatment": "resection"},
}


@pytest.mark.parametrize(
    "endpoint, wording, beside",
    [
        ({"kind": "time_to_recurrence"}, STUDY["wording"], True),
        ({"kind": "recurrence_competing"}, STUDY["wording"], True),
        ({"kind": "recorded", "counts_death": False}, STUDY["wording"] | {"event": "recurrence"}, True),
        ({"kind": "recorded", "counts_death": False}, STUDY["wording"], False),
        ({"kind": "recorded", "counts_death": True}, STUDY["wording"] | {"event": "recurrence"}, False),
        ({"kind": "overall_survival"}, STUDY["wording"], False),
        ({"kind": "recurrence_free_survival"}, STUDY["wording"], False),
        ({"kind": "time_to_recurrence"}, STUDY["wording"] | {"treatment": "radiotherapy"}, False),
        ({"kind": "time_to_recurrence"}, {}, False),
    ],
)
def test_ji_stands_only_beside_recurrence_after_resection_of_hcc(endpoint, wording, beside):
    """Overall survival stood beside their recurrence as `Free of recurrence`."""
    study = STUDY | {"endpoints": {"E": endpoint}, "wording": wording}
    assert is_of_ji(study, "a") == beside


def test_what_a_study_is_about_is_what_it_declares():
    assert about(STUDY) == "hepatocellular carcinoma after resection"
    assert about({}) == "patients like those below"
    assert about({"wording": {"treatment": "radiotherapy"}}) == "patients like those below after radiotherapy"


def test_a_footnote_on_the_signature_stands_only_where_there_is_one():
    row = {"model": "clinical_pre", "stage": "multivariable", "term": "age", "label": "Age", "hr": 1.1, "lower": 1.0,
           "upper": 1.2, "p": 0.04, "n": 90, "events": 40, "likelihood": "maximum likelihood",
           "limits": "Wald"}  # fmt: skip
    clinical = pd.DataFrame([row])
    assert "signature" not in " ".join(cox(clinical, WORDS).notes).lower()
    with_one = pd.DataFrame([row, row | {"term": "signature", "label": "Signature"}])
    assert "The signature was built on these patients" in " ".join(cox(with_one, WORDS).notes)


def test_a_limitation_names_its_analyses_unless_it_holds_for_all():
    found = {"a": ["Death is censored.", "One centre."], "b": ["One centre."], "c": ["One centre.", "Few events."]}
    assert with_holders(found) == ["a: Death is censored.", "One centre.", "c: Few events."]


def test_the_summary_says_what_the_model_holds_not_what_it_was_offered(tmp_path):
    """`clinical and signature` stood where the signature's weight had been bounded to 0."""
    place = tmp_path / "models/a/frozen/combined_pre.json"
    write_frozen({"signature_use": {"status": "used"}}, place)
    assert what_it_holds(tmp_path, "a", "combined_pre", WORDS) == "Clinical and signature, before treatment"
    write_frozen({"signature_use": {"status": "bounded"}}, place)
    said = what_it_holds(tmp_path, "a", "combined_pre", WORDS)
    assert said.startswith("Clinical, before treatment. The signature's weight would have been negative")


def test_risks_are_predicted_at_supported_horizons_only():
    study = {"horizons_months": [24, 60]}
    model = {"follow_up_months": 70.0, "supported_months": 30.0}
    found = horizon_facts(model, study, True)
    assert found["horizons"] == "24" and found["primary_risk"] and found["no_risk"].startswith("at 60 months (fewer")
    assert not horizon_facts(model | {"supported_months": 12.0}, study, True)["primary_risk"]
    assert horizon_facts(model | {"supported_months": 60.0}, study, True)["no_risk"] == ""


def test_strata_that_have_no_risk_at_a_horizon_are_named():
    """Of 137 lung cancers by cell type, risks at 6 months were "predicted", and O/E was blank."""
    ends = {"a": 5.0, "b": 40.0}
    levels = [{"stratum": name, "follow_up_months": 70.0, "supported_months": end} for name, end in ends.items()]
    model = {"follow_up_months": 70.0, "supported_months": 65.0, "strata": {"levels": levels}}
    found = horizon_facts(model, {"horizons_months": [24, 60]}, True)
    assert found["horizons"] == "24"
    assert found["no_risk"].startswith("at 24 months to patients of a (too few of them")
    assert "at 60 months to patients of a and b" in found["no_risk"]


def test_patients_without_a_centre_are_a_group_of_the_follow_up():
    """The report of a public cohort, in which one patient has no institution, ended in a traceback."""
    assert cohort_title(float("nan")) == "not stated" and cohort_title("external-B") == "Centre B, external"


def test_a_limitation_counts_missing_cells_from_the_patients_of_every_cohort(tmp_path):
    """It was cut out of a guard's text, which named the training patients' only."""
    write_frozen({"terms": [{"term": "wt", "name": "wt", "kind": "numeric"}]}, tmp_path / "models/a/frozen/m.json")
    write_table(pd.DataFrame({"wt": [1.0, None]}), tmp_path / "cohort/a/train.csv")
    write_table(pd.DataFrame({"cohort": "test", "wt": [None, None]}), tmp_path / "cohort/a/heldout.csv")
    said = "Training, of 2 patients: wt 1; Held-out patients, of 2 patients: wt 2"
    assert cells_imputed(tmp_path, "a") == said


def test_a_lower_limit_of_the_median_is_never_not_reached():
    row = pd.Series({"median_months": 5.7, "lower": float("nan"), "upper": float("nan")})
    assert median_text(row) == "5.7 (not estimated to not reached)"


def test_methods_say_why_the_competing_hazard_is_the_same_for_everybody(tmp_path):
    """Risks of 205 melanomas differed by up to 0.24 from those of a model with covariates, which only the card said."""
    event = {"kind": "recorded", "time": "time", "event": "event", "competing": "other", "competing_value": 1}
    raw = {
        "study": "small",
        "clinical": {"table": "t.csv", "id": "id"},
        "endpoints": {"E": event},
        "split": {"kind": "none"},
        "analyses": {"main": {"preset": "recommended", "endpoint": "E"}},
    }
    (tmp_path / "t.csv").touch()
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(raw))
    study = resolve(tmp_path / "study.yaml")
    judged = {"analysis": "main", "model": "clinical_pre", "cohort": "train-apparent", "metric": "c_harrell"}
    write_table(pd.DataFrame([judged | {"n": 205, "events": 57}]), tmp_path / "validation/performance.csv")
    model = {
        "terms": [],
        "follow_up_months": 150.0,
        "competing": {"terms": [], "reason": "no covariates: 14 competing events for 3 columns"},
    }
    for reason in (model["competing"]["reason"], ""):
        model["competing"]["reason"] = reason
        write_frozen(model, tmp_path / "models/main/frozen/clinical_pre.json")
        text = " ".join(text for _, text in methods(tmp_path, study, "main"))
        assert ("has no covariates: 14 competing events for 3 columns" in text) == bool(reason)


def test_the_reading_in_words_is_of_the_largest_external_centre():
    """Lung cancer: "in about 89 of 100 pairs" was of six patients with two events, the first of six centres."""
    sizes = {"external-26": (0.89, 2), "external-16": (0.57, 12), "train-nested_cv": (0.65, 123)}
    rows = [("clinical_pre", cohort, "c_harrell", c, events) for cohort, (c, events) in sizes.items()]
    table = pd.DataFrame(rows, columns=["model", "cohort", "metric", "estimate", "events"])
    assert "about 57 of 100 pairs (Centre 16, external)" in plain_reading(table, "clinical_pre", "c_harrell")
    inner = table[~table["cohort"].str.startswith("external-")]
    assert "about 65 of 100 pairs" in plain_reading(inner, "clinical_pre", "c_harrell")


def test_a_name_keeps_its_capitals_within_a_sentence():
    assert lower_first("Time to recurrence") == "time to recurrence"
    assert lower_first("TTR") == "TTR"


OF_THEIR_OWN = {  # dictionaries that say something else of metrics than their names
    "recur/report/diagnostic_page.py": "sections by their tables",
    "recur/resampling/internal_calibration.py": "how each is estimated",
    "recur/validation/subgroups.py": "how each is estimated",
    "recur/validation/judgement.py": "what is said of a departure",
}


def names_in(path: Path) -> list[tuple[int, list[str]]]:
    """(line, keys) of every dictionary of a file that gives two models, cohorts, metrics, regions or phases a text that
    begins as a name does.
    """
    known = [set(MODELS), set(COHORTS), set(METRICS) | set(SHARES), set(REGIONS), set(PHASES)]
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            keys = {key.value for key, value in pairs if isinstance(key, ast.Constant) and is_name(value)}
            found += [(node.lineno, sorted(keys & names)) for names in known if len(keys & names) > 1]
    return found


def is_name(value: ast.expr) -> bool:
    """Whether a value of a dictionary is a text for people, or begins with one."""
    if isinstance(value, ast.Call | ast.Tuple):
        parts = value.args if isinstance(value, ast.Call) else value.elts
        value = parts[0] if parts else value
    return isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value[:1].isupper()


def test_models_cohorts_metrics_regions_and_phases_have_their_names_in_the_vocabulary_alone():
    """Figures and texts called the same cohort by names of two tables, and a third was in the card."""
    vocabulary = ROOT / "scripts/recur/vocabulary.py"
    assert len(names_in(vocabulary)) >= 4
    found = {}
    for path in ROOT.glob("scripts/**/*.py"):
        place = path.relative_to(ROOT / "scripts").as_posix()
        if path != vocabulary and place not in OF_THEIR_OWN and names_in(path):
            found[place] = names_in(path)
    assert found == {}


def test_p_values_intervals_and_names_are_printed_by_the_vocabulary_alone():
    """The style of figures cuts its names to the room there is."""
    printers = re.compile(
        r"^def (p_text|p_said|interval_(?:text|in_figure)|ratio_text|(cohort|model)_(title|label))\(", re.M
    )
    files = [path for path in ROOT.glob("scripts/**/*.py") if printers.search(path.read_text())]
    assert {path.name for path in files} == {"vocabulary.py", "style.py"}
