"""What a user hands over is data: never run, never part of a shell line; identifiers of patients stay behind."""

import ast
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from small import run_snakemake, small_project

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted([*ROOT.glob("scripts/**/*.py"), *ROOT.glob("bench/*.py")])
RUNS_TEXT = {"eval", "exec", "compile", "__import__"}
RUNS_FILES = {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve"}
OTHER_WORDS = "a b'\"$(touch pwned)`touch pwned`;touch pwned"


def calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_program_runs_text_or_unpickles(path):
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    assert not imported & RUNS_FILES
    for call in calls(path):
        name = ast.unparse(call.func)
        assert name not in RUNS_TEXT and name not in ("os.system", "os.popen", "pd.read_pickle", "yaml.unsafe_load")
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert options.get("shell", "False") == "False" and options.get("allow_pickle", "False") == "False"
        if name == "yaml.load":
            # the first is made from yaml.SafeLoader, the second is the same in compiled code
            assert ast.unparse(call.args[1]) in ("OneKeyLoader", "yaml.CSafeLoader")


def test_names_of_the_study_reach_no_shell(tmp_path):
    """File, column and variable names with everything a shell would act on; the folder's name as well."""
    project = small_project(tmp_path / "pro ject")
    (project / OTHER_WORDS).mkdir()
    folder = project / OTHER_WORDS
    study = yaml.safe_load((ROOT / "studies/template.yaml").read_text())
    for key in ("images", "features"):
        study.pop(key, None)
    study |= {"study": "small", "title": OTHER_WORDS, "synthetic": True, "on_error": "exclude"}
    study["clinical"] |= {"table": f"{OTHER_WORDS}.csv", "centre": OTHER_WORDS}
    study["clinical"]["variables"] = {"mvi": {"column": f"{OTHER_WORDS}2", "kind": "binary", "timing": "post"}}
    study["candidates"] = {"pre": [], "post": ["mvi"]}
    study["split"] = {"kind": "centre", "train": [OTHER_WORDS], "external": ["B"]}
    study["analyses"] = {"recommended": {"preset": "recommended", "endpoint": "TTR", "use_features": False}}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    lines = [f'patient_id,"{quoted(OTHER_WORDS)}","{quoted(OTHER_WORDS)}2",surgery_date,recurrence_date,death_date,']
    lines[0] += "last_contact_date"
    for i in range(60):
        centre = f'"{quoted(OTHER_WORDS)}"' if i < 40 else "B"
        recurrence = "2016-01-0" + str(1 + i % 9) if i % 2 else ""
        lines.append(f"P{i},{centre},{i // 3 % 2},2015-01-01,{recurrence},,2018-01-01")
    (folder / f"{OTHER_WORDS}.csv").write_text("\n".join(lines) + "\n")
    target = "results/small/validation/recommended/risks.csv"
    done = run_snakemake(project, target, "--cores", "1", "--config", f"study={OTHER_WORDS}/study.yaml")
    assert done.returncode == 0
    assert (project / target).exists()
    assert not list(project.rglob("pwned")) and not (ROOT / "pwned").exists()
    shutil.rmtree(project)


def quoted(text: str) -> str:
    return text.replace('"', '""')


def test_rules_notebooks_and_pages_run_no_text():
    """What is not Python modules: rules, the code of notebooks, the scripts of pages."""
    texts = {path: path.read_text() for path in [ROOT / "Snakefile", *ROOT.glob("rules/*.smk")]}
    for path in ROOT.glob("notebooks/*.ipynb"):
        texts[path] = "".join("".join(cell["source"]) for cell in json.loads(path.read_text())["cells"])
    texts |= {path: path.read_text() for path in [*ROOT.glob("scripts/**/*.js"), *ROOT.glob("scripts/**/*.html")]}
    assert len(texts) > 12
    for path, text in texts.items():
        found = re.findall(r"(?<![\w.])(eval|exec|compile|Function|__import__|unpickle)\(|pickle|document\.write", text)
        assert not found, path


def test_pages_fetch_nothing():
    """Templates of pages; what is made of them is looked at in test_workflow.py."""
    for path in [*ROOT.glob("scripts/**/*.html"), *ROOT.glob("scripts/**/*.js"), *ROOT.glob("notebooks/*.ipynb")]:
        assert not re.search(r"""(src|href)=\\?["'](https?:)?//""", path.read_text()), path
