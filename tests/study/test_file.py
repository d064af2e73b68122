"""The study file: defaults < preset < file, and errors that help."""

import itertools
import re
from pathlib import Path

import pytest
import yaml

from recur.consistency.statements import check_statements
from recur.study.facts import model_names
from recur.study.file import resolve
from recur.study.yaml_files import schema
from recur.tables import StudyError

ROOT = Path(__file__).parents[2]


def write(tmp_path, **changes):
    study = {"study": "s", "clinical": {"table": "c.csv", "id": "id"}} | changes
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


def problems(path):
    with pytest.raises(StudyError) as error:
        resolve(path)
    return error.value.problems


def test_defaults_fill_what_the_file_leaves_out(tmp_path):
    study = resolve(write(tmp_path, images={"manifest": "m.csv"}))
    assert study["horizons_months"] == [24, 60]
    assert study["images"]["regions"]["rim_mm"] == 10
    assert study["clinical"]["table"] == str(tmp_path / "c.csv")


def test_the_file_wins_over_the_preset_key_by_key(tmp_path):
    analyses = {"a": {"endpoint": "E", "preset": "ji2020", "signature": {"folds": 5}}}
    endpoints = {"E": {"kind": "recorded", "time": "t", "event": "e"}}
    chosen = resolve(write(tmp_path, analyses=analyses, endpoints=endpoints))["analyses"]["a"]
    assert chosen["signature"]["folds"] == 5
    assert chosen["signature"]["lambdas"] == 100
    assert chosen["second_stage"]["selection"] == "backward_aic"


def test_an_unknown_key_is_refused_with_the_nearest_known_one(tmp_path):
    (text,) = problems(write(tmp_path, horizon_months=[24]))
    assert "unknown key 'horizon_months'; did you mean 'horizons_months'?" in text


def test_all_problems_are_listed_at_once(tmp_path):
    found = problems(write(tmp_path, seed=-1, batches=0, colour="red"))
    assert len(found) == 3


def test_a_postoperative_term_cannot_be_a_preoperative_candidate(tmp_path):
    variables = {"mvi": {"column": "mvi", "kind": "binary", "timing": "post"}}
    clinical = {"table": "c.csv", "id": "id", "variables": variables}
    (text,) = problems(write(tmp_path, clinical=clinical, candidates={"pre": ["mvi"]}))
    assert "known only after the operation" in text


def test_an_unset_environment_variable_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    (text,) = problems(write(tmp_path, clinical={"table": "$NOWHERE/c.csv", "id": "id"}))
    assert "environment variable NOWHERE is not set" in text


def test_without_images_only_clinical_models_exist(tmp_path):
    study = resolve(write_clinical(tmp_path))
    assert model_names(study, "a") == ["clinical_pre", "clinical_post"]


def test_conditioning_on_the_future_is_refused_but_for_a_replicate(tmp_path):
    (text,) = problems(write_clinical(tmp_path, a={"endpoint": "E", "min_follow_up_months": 24}))
    assert "analyses.a.min_follow_up_months" in text and "conditions on the future" in text
    trial = {"endpoint": "E", "min_follow_up_months": 24}
    assert resolve(write_clinical(tmp_path, trial_replicate=trial, b=trial | {"preset": "ji2020"}))


def test_a_follow_up_rule_needs_an_endpoint_with_a_time(tmp_path):
    path = write_clinical(tmp_path, trial_replicate={"endpoint": "B", "min_follow_up_months": 24})
    study = yaml.safe_load(path.read_text())
    study["endpoints"]["B"] = {"kind": "binary", "column": "poor"}
    path.write_text(yaml.safe_dump(study))
    (text,) = problems(path)
    assert "analyses.trial_replicate.min_follow_up_months: 'B' has no time" in text


def test_the_primary_analysis_must_be_one_of_the_study(tmp_path):
    path = write_clinical(tmp_path)
    path.write_text(path.read_text() + "primary: b\n")
    assert "primary: 'b' is no analysis of this study (a)" in problems(path)[0]


def write_clinical(tmp_path, **analyses):
    variables = {n: {"column": n, "kind": "numeric", "timing": t} for n, t in (("age", "pre"), ("mvi", "post"))}
    return write(
        tmp_path,
        clinical={"table": "c.csv", "id": "id", "variables": variables},
        candidates={"pre": ["age"], "post": ["mvi"]},
        endpoints={"E": {"kind": "recorded", "time": "t", "event": "e"}},
        analyses=analyses or {"a": {"endpoint": "E"}},
    )


@pytest.mark.parametrize(
    "path", ["config.yaml", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("studies/**/*.yaml"))]
)
def test_every_shipped_study_resolves(path, monkeypatch):
    monkeypatch.setenv("REFERENCE_DATA", "/data")
    assert resolve(ROOT / path)["study"]


def uncommented(section: str) -> dict:
    """A section of the template that stands there as comments."""
    lines = (ROOT / "studies/template.yaml").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"# {section}:"))
    block = itertools.takewhile(lambda line: line.startswith("# "), lines[start:])
    return yaml.safe_load("\n".join(line[2:] for line in block))


def keys_of(node) -> set[str]:
    """Every key of a value, or of the `properties` of a schema."""
    if isinstance(node, list):
        return set().union(*map(keys_of, node))
    return set(node).union(*map(keys_of, node.values())) if isinstance(node, dict) else set()


def properties_of(node) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(properties_of, node))
    if not isinstance(node, dict):
        return set()
    return set(node.get("properties", {})).union(*map(properties_of, node.values()))


def test_the_diagnostic_section_of_the_template_is_valid_and_has_every_key(tmp_path):
    path, section = tmp_path / "study.yaml", uncommented("diagnostic")
    path.write_text(yaml.safe_dump(yaml.safe_load((ROOT / "studies/template.yaml").read_text()) | section))
    assert resolve(path)["diagnostic"]["combination"] == ["lirads_1", "washout"]
    rules = schema("study")["properties"]["diagnostic"]
    assert properties_of(rules) <= keys_of(section["diagnostic"])


def test_the_reported_section_of_the_template_is_valid_and_has_every_key(tmp_path):
    path, section = tmp_path / "study.yaml", uncommented("reported")
    path.write_text(yaml.safe_dump({"study": "paper"} | section))
    statements = resolve(path)["reported"]["statements"]
    assert {item["kind"] for item in statements} == set(schema("reported")["items"]["properties"]["kind"]["enum"])
    for kind, rules in schema("reported")["$defs"].items():
        mine = [set(item) for item in statements if item["kind"] == kind]
        assert not mine or set(rules["properties"]) == set.union(*mine), kind
    found = check_statements(statements)
    assert not (found["verdict"] == "inconsistent").any(), found[found["verdict"] == "inconsistent"].to_string()


def test_every_object_of_the_schema_refuses_unknown_keys():
    def walk(node, place):
        if isinstance(node, dict):
            if node.get("type") == "object":
                assert "additionalProperties" in node, place
            for key, value in node.items():
                walk(value, f"{place}.{key}")

    walk(schema("study"), "study")
    walk(schema("images"), "images")
    walk(schema("score")["properties"]["inputs"], "score.inputs")


def test_agreement_between_settings_needs_the_table_of_the_other_settings(tmp_path):
    endpoints = {"E": {"kind": "recorded", "time": "t", "event": "e"}}
    analyses = {"a": {"endpoint": "E", "stability": {"source": "settings"}}}
    (text,) = problems(write(tmp_path, features={"table": "f.csv"}, analyses=analyses, endpoints=endpoints))
    assert "stability.source: settings needs features.repeat" in text
    study = resolve(
        write(tmp_path, features={"table": "f.csv", "repeat": "g.csv"}, analyses=analyses, endpoints=endpoints)
    )
    assert study["analyses"]["a"]["stability"]["source"] == "settings"


PUBLIC = {"collection": "hcc_tace_seg", "doi": "10.7937/TCIA.5FNA-0924", "tumour": "Mass"}


def test_public_images_need_a_folder_and_phases_that_can_be_assigned(tmp_path):
    assert "public: needs images.manifest" in problems(write(tmp_path, public=PUBLIC, images={"manifest": "m.csv"}))[0]
    images = {"manifest": "m.csv", "root": "images", "phases": ["PVP", "late"]}
    (text,) = problems(write(tmp_path, public=PUBLIC, images=images))
    assert "images.phases: 'late' is not among the phases of public images (NC, AP, PVP, DP)" in text
    (text,) = problems(write(tmp_path, public=PUBLIC | {"phase": "PVP"}, images=images | {"phases": ["AP"]}))
    assert "'AP' is not among the phases of public images (PVP)" in text


def test_every_study_has_its_page_and_pictures_stay_small():
    index = (ROOT / "docs/studies/README.md").read_text()
    for study in (ROOT / "studies").glob("*.yaml"):
        assert study.stem == "template" or f"| {study.stem}" in index or f", {study.stem} " in index, study.name
    for page in re.findall(r"\]\((\w[\w-]*\.md)\)", index):
        assert (ROOT / "docs/studies" / page).exists()
    for picture in (ROOT / "docs/gallery").glob("*.png"):
        assert picture.stat().st_size < 200_000, picture.name


def test_the_readme_names_the_rule_and_the_function_that_decide():
    rules = set(re.findall(r"^ *rule (\w+):", "".join(p.read_text() for p in sorted(ROOT.glob("rules/*.smk"))), re.M))
    lines = (ROOT / "README.md").read_text().split("### Where is it decided?")[1].splitlines()
    rows = [line.split("|")[1:4] for line in lines if line.startswith("| ")][2:]
    assert len(rows) > 10
    for _, rule, function in rows:
        assert set(re.findall(r"`(\w+)`", rule)) <= rules
        for name, path in re.findall(r"`(\w+)` in (scripts/[\w/]+\.py)", function):
            assert f"\ndef {name}(" in (ROOT / path).read_text(), (name, path)
