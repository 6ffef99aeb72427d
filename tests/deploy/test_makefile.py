"""Tests of the Makefile's targets, without running their recipes."""

import re
import subprocess

from tests.deploy.linters import ROOT


def make(*arguments: str) -> str:
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_install_makes_the_environment_and_nothing_else() -> None:
    recipes = make("--dry-run", "install", "VENV=/nowhere/venv")

    assert re.search(r"/nowhere/venv/bin/python -m pip install .*--editable", recipes.replace("\\\n", ""))
    assert "airflow" not in recipes and "/signs demo" not in recipes


def test_each_target_in_the_help_exists() -> None:
    for target in re.findall(r"^make ([a-z0-9-]+)", make("help"), re.MULTILINE):
        make("--dry-run", target)
