"""Helm 3 and Helm 4 are what their names say: a test of both with one program would show nothing."""

import pytest

from tests.helm.helm_chart import find_helm, run_helm


@pytest.mark.parametrize(("name", "major"), [("helm", "v4."), ("helm3", "v3.")])
def test_each_helm_has_its_major_version(name: str, major: str) -> None:
    assert run_helm(find_helm(name), "version", "--short").stdout.startswith(major)
