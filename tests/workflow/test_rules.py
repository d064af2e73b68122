"""How rules are written: each says in one line what it makes, in a file named after a room."""

import re

import pytest
from small import ROOT

RULES = sorted(ROOT.glob("rules/*.smk"))
ROOMS = {path.name for path in ROOT.glob("scripts/recur/*") if path.is_dir()}
OF_NO_ROOM = {"common", "targets", "figures"}  # what rules share, what a run ends in, scripts/figures/
BODY = re.compile(r"^ *rule (\w+):\n(.*)\n", re.M)  # name, first line of the body


@pytest.mark.parametrize("path", [ROOT / "Snakefile", *RULES], ids=lambda path: path.stem)
def test_every_rule_says_in_one_line_what_it_makes(path):
    without = [name for name, line in BODY.findall(path.read_text()) if not re.fullmatch(r' *"""[A-Z].+[.?]"""', line)]
    assert without == []


def test_rules_of_a_room_lie_in_the_file_of_its_name():
    assert {path.stem for path in RULES} - OF_NO_ROOM <= ROOMS
    assert sum(len(BODY.findall(path.read_text())) for path in RULES) > 50


def test_the_snakefile_includes_every_file_of_rules_once():
    included = re.findall(r'include: "(rules/\w+\.smk)"', (ROOT / "Snakefile").read_text())
    assert sorted(included) == [path.relative_to(ROOT).as_posix() for path in RULES]
