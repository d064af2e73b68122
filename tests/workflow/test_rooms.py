"""Imports between rooms go one way: the contracts of pyproject.toml hold, and find what breaks them."""

import os
import re
import shutil
import subprocess
import tomllib

from small import ROOT

LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
BREACHES = {
    "validation/guards.py": ("from recur.fit import whole", "What judges, applies or prepares never imports"),
    "statistics/roc.py": ("from recur import tables", "Statistics know arrays only"),
    "study/facts.py": ("from recur.cohort import split", "Every room imports from those below it only"),
    "cohort/dates.py": ("from recur.cohort import clinical", "No circle, between rooms or inside of one"),
}


def test_the_page_for_contributors_has_the_rooms_in_the_order_of_the_contract():
    layers = LINTER["contracts"][0]["layers"][:-2]  # without style and the door
    rooms = [room for layer in layers for room in re.split(r" [|:] ", layer)]
    page = (ROOT / "CONTRIBUTING.md").read_text()
    assert [room for room in re.findall(r"^\| `(\w+)` \|", page, re.M) if room in rooms] == rooms
    assert sorted(rooms) == sorted(path.parent.name for path in ROOT.glob("scripts/recur/*/__init__.py"))


def test_each_contract_is_broken_by_an_import_against_it(tmp_path):
    """That all are kept as the tree is, `make test` sees by itself."""
    shutil.copytree(ROOT / "scripts/recur", tmp_path / "recur", ignore=shutil.ignore_patterns("__pycache__"))
    for module, (statement, _) in BREACHES.items():
        with (tmp_path / "recur" / module).open("a") as file:
            file.write(f"\n\n{statement}\n")
    command = ["lint-imports", "--no-cache", "--no-logo", str(ROOT / "pyproject.toml")]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    verdicts = " ".join(run.stdout.split()).split("Contracts:")[0]
    assert run.returncode == 1 and verdicts.count("BROKEN") == len(LINTER["contracts"]) == len(BREACHES)
    for statement, contract in BREACHES.values():
        assert re.search(rf"{re.escape(contract)}.{{0,60}} BROKEN", verdicts), statement
