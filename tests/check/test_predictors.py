"""What `check` says of predictors: columns of comparators, what a pattern takes, outcomes among the candidates."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml

from recur.check.check import check_tables
from recur.check.plan import plan
from recur.cohort.clinical import read_cohort
from recur.study.file import resolve
from recur.tables import StudyError
from tests.workflow.test_metamorphic import clinical_study, features_study


@pytest.fixture
def project(tmp_path):
    """Change keys of the features' or the clinical study, and read it."""

    def change(write, **keys):
        write(tmp_path)
        path = tmp_path / "study.yaml"
        study = yaml.safe_load(path.read_text())
        for key, value in keys.items():
            study[key] = study.get(key, {}) | value
        path.write_text(yaml.safe_dump(study))
        return resolve(path)

    return change


def test_comparators_are_listed_with_the_columns_they_use(project):
    study = project(clinical_study, clinical={"tumour_size": "size"})
    lines = plan(study, read_cohort(study))
    said = [line.removeprefix("  comparator ") for line in lines if line.startswith("  comparator ")]
    assert "size_only: column size" in said
    assert "volume_only: none, no column is the tumour's volume" in said
    assert "score albi: columns albumin, bilirubin" in said


def test_size_and_volume_of_a_feature_table_are_listed_too(project):
    study = project(features_study)
    lines = plan(study, read_cohort(study))
    assert "  comparator volume_only: feature AP_tumour_original_shape_MeshVolume" in lines


def test_what_a_pattern_takes_is_listed(project, tmp_path):
    study = project(features_study)
    table = pd.read_csv(tmp_path / "features.csv").assign(weight=70.5)
    table["afp_ng_ml"] = table.index + 5.0
    table.to_csv(tmp_path / "features.csv", index=False)
    check_tables(study)
    lines = plan(study, read_cohort(study))
    [taken] = [line for line in lines if "features.pattern '" in line]
    assert "18 columns named as pyradiomics does (AP_rim_original_glcm_F0, " in taken
    assert taken.endswith("2 columns of other names (afp_ng_ml, weight)")
    assert any("clinical variables among the features" in line and "afp_ng_ml (ln_afp)" in line for line in lines)


@pytest.mark.parametrize("timing", ["pre", "post"])
def test_time_and_event_of_any_endpoint_are_refused_as_candidates(project, timing):
    disguised = {"column": "status", "kind": "ordinal", "levels": [0, 1, 2], "timing": timing}
    variables = {"disguised": disguised, "months": {"column": "months", "kind": "numeric", "timing": timing}}
    with pytest.raises(StudyError) as stopped:
        project(clinical_study, clinical={"variables": variables}, candidates={timing: ["disguised", "months"]})
    for term, column, key in (("disguised", "status", "event"), ("months", "months", "time")):
        line = f"candidates.{timing}: '{term}' is column '{column}', which is endpoints.TTR.{key}: outcomes, dates"
        assert any(line in problem for problem in stopped.value.problems)


def test_a_finding_without_a_time_may_predict_the_others(project):
    study = project(features_study, candidates={"pre": ["ln_afp"], "post": ["mvi"]})
    check_tables(study)
