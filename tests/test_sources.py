"""Which rules, caches and interrupted jobs notice an edit: all that use the file, however deep, and no other."""

import functools
import json
import shutil
import subprocess
import sys
from modulefinder import ModuleFinder
from pathlib import Path

import pytest

from recur.sources import ROOT, SCRIPTS, closure, third_party

PROGRAMS = ("cases", "features", "qc_page", "resample", "performance", "table1")
EDITS = {
    "images/regions.py": {"case", "p1"},
    "images/perturb.py": {"p1"},
    "features/texture.py": {"features"},
    "tables.py": {"resample", "nested_cv"},
    "report/patients.py": set(),
}
# what rules, caches and interrupted jobs are known by, before and after each edit
KEYS = """
import json, re, sys
from recur.features.cache import feature_key
from recur.images.case_cache import case_key
from recur.resume import fingerprint
from recur.sources import SCRIPTS, checksums, closure
from recur.features.variants import make_variant

def keys():
    found = {"case": case_key({}, {}), "features": feature_key("a.npz", {})}
    for path in sorted(SCRIPTS.parent.glob("rules/*.smk")):
        for call in re.findall(r"imports\\(([^)]*)\\)", path.read_text()):
            if files := re.findall(r'"([^"]+)"', call):
                found[files[0]] = checksums(closure(*(SCRIPTS.parent / file for file in files)))
    for name in ("resample", "nested_cv"):
        found[name] = fingerprint(SCRIPTS / f"{name}.py", [])
    for name in ("p1", "shuffled_inside"):
        found[name] = make_variant(name, {"kinds": []}, 1).code
    return found

before, noticed = keys(), {}
for edit in json.loads(sys.argv[1]):
    file = SCRIPTS / "recur" / edit
    kept = file.read_text()
    file.write_text(kept + "# an edit")
    after = keys()
    file.write_text(kept)
    noticed[edit] = [name for name in before if after[name] != before[name]]
print(json.dumps(noticed))
"""


@pytest.fixture(scope="module")
def noticed(tmp_path_factory):
    """Edited file -> what noticed, in a copy of the project."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("scripts", "rules", "notebooks", "schemas"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    run = [sys.executable, "-c", KEYS, json.dumps(list(EDITS))]
    done = subprocess.run(run, env={"PYTHONPATH": str(folder / "scripts")}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@functools.cache
def loaded(program: Path) -> set[str]:
    """Modules of the project that a program loads, by the standard library's reading of their byte code."""
    finder = ModuleFinder(path=[str(SCRIPTS)])
    finder.run_script(str(program))
    return {name for name, module in finder.modules.items() if module.__file__} - {"__main__"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_closure_of_a_program_is_what_python_would_load(program):
    file = SCRIPTS / f"{program}.py"
    modules = {path.relative_to(SCRIPTS) for path in closure(file) if path.suffix == ".py" and path != file}
    names = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in modules}
    assert names == loaded(file)


@pytest.mark.parametrize("file", EDITS)
def test_an_edit_of_a_nested_module_is_noticed_by_what_uses_it_alone(noticed, file):
    module = "recur." + file.removesuffix(".py").replace("/", ".")
    rules = {name for name in noticed[file] if name.startswith("scripts/")}
    assert set(noticed[file]) - rules == EDITS[file]
    for program in PROGRAMS:
        assert (f"scripts/{program}.py" in rules) == (module in loaded(SCRIPTS / f"{program}.py"))


PAGES = {
    "scripts/calculator.py": {"calculator.html", "calculator.css", "calculator.js", "base.html", "page.css"},
    "scripts/qc_page.py": {"qc.html", "qc.css", "qc.js", "base.html", "page.css"},
    "scripts/report.py": {"report.html", "report.css", "base.html", "page.css"},
    "scripts/model_card.py": {"blocks.html", "block.html", "blocks.css", "base.html", "page.css"},
    "scripts/checklists.py": {"blocks.html", "block.html", "blocks.css", "base.html", "page.css"},
    "scripts/diagnostic_report.py": {"blocks.html", "block.html", "blocks.css", "base.html", "page.css"},
}


@pytest.mark.parametrize("program", PAGES)
def test_an_edit_of_a_page_is_noticed_and_so_is_one_of_the_template_of_all_pages(program):
    assert PAGES[program] <= {path.name for path in closure(ROOT / program)}


def test_a_page_is_not_made_anew_for_the_template_of_another():
    assert not {"qc.html", "report.html"} & {path.name for path in closure(ROOT / "scripts/calculator.py")}


def test_imports_of_a_notebook_count():
    assert SCRIPTS / "recur" / "report" / "patients.py" in closure(ROOT / "notebooks" / "report.ipynb")


def test_imports_inside_functions_and_relative_ones_count():
    assert SCRIPTS / "recur" / "features" / "kernels.py" in closure(SCRIPTS / "recur" / "features" / "compiled.py")


def test_a_folder_bounds_what_is_followed():
    images = SCRIPTS / "recur" / "images"
    assert all(path.is_relative_to(images) for path in closure(images / "case.py", within=images))


def test_third_party_modules_are_found_through_the_project():
    assert {"SimpleITK", "numba", "radiomics"} <= third_party(SCRIPTS / "features.py")
    assert "radiomics" not in third_party(SCRIPTS / "signature.py")
