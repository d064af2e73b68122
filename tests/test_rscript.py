"""What tests do on a machine with R but without a package: they are skipped and name it."""

import pytest
from rscript import lacking, needs_r


@pytest.mark.skipif(lacking() != "", reason="needs R")
def test_a_package_that_r_lacks_is_named():
    assert lacking("stats", "no.such.package") == "R's package no.such.package"
    assert needs_r("no.such.package").mark.kwargs["reason"] == "needs R's package no.such.package"


def test_without_r_every_such_test_is_skipped(monkeypatch):
    monkeypatch.setenv("PATH", "")
    lacking.cache_clear()
    assert lacking("survey") == "R" and needs_r("survey").mark.args == (True,)
    lacking.cache_clear()
