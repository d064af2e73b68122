"""R beside Python: tests whose values R computes are skipped where R, or a package of it, is not installed."""

import functools
import shutil
import subprocess

import pytest


@functools.cache
def lacking(*packages: str) -> str:
    """What R lacks of the packages, in words; empty where it has them all."""
    if shutil.which("Rscript") is None:
        return "R"
    asked = f"cat(Filter(function(p) !requireNamespace(p, quietly = TRUE), {r_vector(packages)}))"
    done = subprocess.run(["Rscript", "-e", asked], capture_output=True, text=True)
    if done.returncode != 0:
        return "a working R"
    return " ".join(f"R's package {name}" for name in done.stdout.split())


def r_vector(names: tuple[str, ...]) -> str:
    return f"c({', '.join(repr(name) for name in names)})"


def needs_r(*packages: str) -> pytest.MarkDecorator:
    """Skips a test where R or one of the packages is not installed, and names it."""
    found = lacking(*packages)
    return pytest.mark.skipif(bool(found), reason=f"needs {found}")
