"""What a run of each study makes, without a run and without Snakemake."""

import pytest
from small import ROOT

from recur.plan import analyses, diagnostic, figures, outputs, settings
from recur.sources import SCRIPTS, third_party
from recur.study.file import resolve

STUDIES = [ROOT / "config.yaml", *sorted(ROOT.glob("studies/*.yaml"))]
STUDIES = [path for path in STUDIES if path.stem != "template"]
HEAVY = {"SimpleITK", "matplotlib", "numba", "pydicom", "radiomics", "scipy", "sklearn", "snakemake", "sksurv"}
PLANS = sorted((SCRIPTS / "recur/plan").glob("*.py"))


@pytest.fixture(autouse=True)
def reference_data(monkeypatch, tmp_path):
    """Where the tables of a study lie is part of its plan; whether they exist is not."""
    monkeypatch.setenv("REFERENCE_DATA", str(tmp_path))


def study(name):
    return resolve(ROOT / ("config.yaml" if name == "demo" else f"studies/{name}.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_has_a_plan(path):
    resolved = resolve(path)
    files = outputs.everything(resolved)
    folder = f"results/{resolved['study']}/"
    assert len(files) > 1 and len(set(files)) == len(files)
    assert all(file.startswith(folder) and "{" not in file for file in [*files, *figures.all_tables(resolved)])
    assert files[-1] == f"{folder}provenance.json"
    made = {file.removeprefix(folder) for file in files}
    assert ("report/report.html" in made) and ("report/model_card.html" in made) == bool(resolved["analyses"])


def test_a_study_of_printed_numbers_makes_their_checks_and_no_report():
    (path, *_) = sorted(ROOT.glob("studies/published/*.yaml"))
    names = [file.split("/", 2)[2] for file in outputs.everything(resolve(path))]
    assert names == ["diagnostic/consistency.csv", "report/diagnostic.html", "provenance.json"]


def test_a_diagnostic_study_has_its_tables_and_figures():
    asah = study("asah")
    names = {path.split("/")[-1].removesuffix(".csv") for path in diagnostic.tables(asah)}
    assert names == {*diagnostic.TEST_TABLES, *diagnostic.GROUP_TABLES}
    assert figures.of_analyses(asah) == [] and figures.of_diagnostic(asah) == ["test_accuracy", "test_roc"]
    assert diagnostic.units(asah) == "results/asah/cohort/clinical.csv"
    assert diagnostic.tables(study("asaur")) == []


def test_figures_follow_what_an_analysis_has():
    demo, asaur = study("demo"), study("asaur")
    drawn = {name for _, name in figures.of_analyses(demo)}
    without_features = {name for _, name in figures.of_analyses(asaur)}
    needs = {name: figure.needs for name, figure in figures.all_figures().items()}
    assert {needs[name] for name in drawn - without_features} >= {"signature", "example", "resampled"}
    assert not {needs[name] for name in without_features} & {"signature", "example", "forest", "null"}
    assert "scores" in {needs[name] for name in drawn}
    del demo["comparators"]
    assert "scores" not in {needs[name] for _, name in figures.of_analyses(demo)}


def test_what_figures_need_is_what_the_plan_knows():
    of_a_study = {f.needs for f in figures.all_figures().values() if f.category == figures.OF_DIAGNOSTIC}
    of_an_analysis = {f.needs for f in figures.all_figures().values() if f.category != figures.OF_DIAGNOSTIC}
    assert of_a_study == set(diagnostic.NEEDS)
    assert of_an_analysis == {None, *figures.NEEDS}


@pytest.mark.parametrize("name", ["demo", "asaur", "asah", "sts"])
def test_captions_are_filled_in_and_say_what_is_synthetic(name):
    resolved = study(name)
    said = [caption for _, caption in figures.captions(resolved).values()]
    said += [figures.diagnostic_caption(resolved, figure) for figure in figures.of_diagnostic(resolved)]
    assert said
    for caption in said:
        assert "{" not in caption and caption.endswith(".")
        assert (figures.SYNTHETIC in caption) == resolved["synthetic"]


def test_jobs_of_repeated_fits_cover_every_repeat_once():
    demo = study("demo")
    (analysis, *_) = analyses.with_models(demo)
    demo["analyses"][analysis]["internal_validation"] |= {"resamples": 51, "learning_repeats": 10}
    assert list(analyses.resample_chunks(demo, analysis)) == [0, 1, 2]
    assert list(analyses.learning_chunks(demo, analysis)) == [0]
    null = study("null")
    for signal, runs in analyses.null_runs(null).items():
        jobs = [job.split("-") for job in analyses.null_jobs(null)]
        seeds = [analyses.null_seeds(null, signal, int(chunk)) for kind, chunk in jobs if kind == signal]
        assert sum(seeds, []) == list(range(runs))


def test_settings_name_sections_that_a_study_may_have():
    demo = study("demo")
    added = {"splits", "used", "row_a_phase", "comparators", "features", "images", "diagnostic", "wording", "primary"}
    assert {key for keys in settings.SECTIONS.values() for key in keys} <= set(demo) | added
    assert settings.case_settings(demo)["pad_mm"] > 0


def test_stored_tables_that_changed_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asah = study("asah")
    (listed,) = outputs.changed_tables(asah)
    assert listed.startswith("results/asah/tables.sha256: no such file")
    folder = tmp_path / "results/asah"
    folder.mkdir(parents=True)
    (folder / "tables.sha256").write_text("")
    paths = figures.all_tables(asah)
    assert outputs.changed_tables(asah) == [f"{path}: missing" for path in paths]
    (tmp_path / paths[0]).parent.mkdir()
    (tmp_path / paths[0]).write_text("edited")
    assert "is not the table that the study made" in outputs.changed_tables(asah)[0]


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_a_plan_needs_no_library_of_images_models_or_figures(path):
    assert not third_party(path) & HEAVY
