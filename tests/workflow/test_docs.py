"""What the pages say of the tree is so: the sections and the paths that they point to exist."""

import ast
import importlib.util
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
SECTIONS = re.findall(r"^##+ (\d+(?:\.\d+)?)\.? ", (ROOT / "docs/methods.md").read_text(), re.M)
FOLDERS = "bench|checklists|containers|docs|envs|notebooks|presets|profiles|rules|schemas|scores|scripts|studies|tests"
BINARY_APART = re.compile(  # code that does another thing for a binary outcome than for one in time
    r"\b(?:train|part|self|rows)\.binary\b|\.kind [!=]= (?:BINARY|SURVIVAL)\b|\bin BINARY\b|\bone_of\(BINARY\)"
    r"|\boutcome(?:_kind\([^)]*\))? == \"binary\"|\btime is None else\b"
)
A_USERS_OWN = ("studies/mine",)  # what a reader is told to write


def test_the_sections_of_the_methods_are_in_the_order_of_their_numbers():
    in_order = sorted(set(SECTIONS), key=lambda number: [int(part) for part in number.split(".")])
    assert in_order == SECTIONS


def test_every_pointer_to_the_methods_finds_its_section():
    lost = []
    for folder in ("scripts", "rules", "tests", "docs"):
        for path in (ROOT / folder).rglob("*.*"):
            if path.suffix not in (".py", ".smk", ".md") or path == Path(__file__):
                continue
            for number in re.findall(r"methods\.md[ ,]+(?:section )?(\d+(?:\.\d+)?)", path.read_text()):
                if number not in SECTIONS:
                    lost.append((path.relative_to(ROOT).as_posix(), number))
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_path_on_a_page_exists(page):
    named = set(re.findall(rf"(?<![\w/.$>])((?:{FOLDERS})/[\w./-]*\w)(?![\w*<{{])", page.read_text()))
    named = {path for path in named if not path.startswith(A_USERS_OWN)}
    assert {path for path in named if not ((ROOT / path).exists() or (page.parent / path).exists())} == set()


def test_what_is_decided_is_decided_where_the_readme_says():
    table = (ROOT / "README.md").read_text().split("### Where is it decided?")[1].split("\n\n")[1]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    assert len(rows) >= 20
    rules = {name for path in ROOT.glob("rules/*.smk") for name in re.findall(r"\brule (\w+):", path.read_text())}
    assert {name for _, where, _ in rows for name in re.findall(r"`(\w+)`", where)} - rules == set()
    functions = [pair for _, _, where in rows for pair in re.findall(r"`(\w+)` in (\S+\.py)", where)]
    assert len(functions) >= 20
    lost = [pair for pair in functions if f"\ndef {pair[0]}(" not in (ROOT / pair[1]).read_text()]
    assert lost == []


def test_the_rooms_are_those_of_the_page_and_each_says_what_it_may_do():
    page = (ROOT / "CONTRIBUTING.md").read_text().split("## 3.")[0]
    described = re.findall(r"^\| `(\w+)` \| \S", page, re.M)
    doors = {path.parent.name: path for path in (ROOT / "scripts/recur").glob("*/__init__.py")}
    assert sorted(described) == sorted(doors)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert [room for layer in layers for room in layer.split(" | ") if room in doors] == described
    silent = [room for room, door in doors.items() if not ast.get_docstring(ast.parse(door.read_text()))]
    assert silent == []


def test_tests_stand_in_folders_of_the_rooms():
    rooms = {path.parent.name for path in (ROOT / "scripts/recur").glob("*/__init__.py")}
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert folders - rooms == {"workflow", "figures"}
    assert rooms - folders == set()


def test_what_is_added_touches_the_number_of_files_that_the_page_says():
    page = (ROOT / "CONTRIBUTING.md").read_text()
    sections = re.findall(r"^### .*?: (\d+) files?\n(.*?)(?=^##)", page, re.M | re.S)
    assert len(sections) >= 6
    counted = [len(re.findall(r"^- `[\w./<>]+`", text, re.M)) for _, text in sections]
    assert counted == [int(number) for number, _ in sections]


def test_files_that_treat_a_binary_outcome_apart_are_on_the_page():
    section = (ROOT / "CONTRIBUTING.md").read_text().split("### A kind of outcome")[1].split("###")[0]
    rooms_of_images = ("scripts/figures", "scripts/recur/images", "scripts/recur/features", "scripts/recur/demo")
    apart = []
    for path in [*ROOT.glob("scripts/**/*.py"), *ROOT.glob("rules/*.smk")]:
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(rooms_of_images) and BINARY_APART.search(path.read_text()):
            apart.append(name)
    assert len(apart) > 5
    assert [name for name in apart if f"- `{name}`" not in section] == []


def test_the_study_file_of_the_first_study_is_one_and_so_are_its_further_sections():
    page = (ROOT / "docs/first-study.md").read_text()
    study, *further = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.S)]
    schema = yaml.safe_load((ROOT / "schemas/study.schema.yaml").read_text())
    assert [list(section) for section in further] == [["features"], ["images"]]
    for section in [{}, *further]:
        jsonschema.validate(study | section, schema)


def test_the_page_of_every_key_says_what_each_of_them_means():
    spec = importlib.util.spec_from_file_location("made_pages", ROOT / "docs/made_pages.py")
    made_pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made_pages)
    rows = re.findall(r"^\| `([^`]+)` \|.*\| (.*)\|$", made_pages.settings_page(), re.M)
    named = {key for key, _ in rows}
    assert {"study", "table", "variables.<name>.floor", "eligibility[].keep", "<name>.signature.l1_ratio"} <= named
    assert [key for key, meaning in rows if not meaning.strip()] == []
