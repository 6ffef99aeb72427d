"""Folders whose names shells, URLs, markup and ASCII interpreters stumble over."""

import os
import shutil
from pathlib import Path

import pytest

from serving.install import Installation

ODD_NAME = "my ü [prod] it's (1) 50% #1 $HOME;&:,"


def odd_home(installation: Installation, parent: Path) -> Path:
    """Returns a copy of our tritonserver, by hard links, in a folder with such a name; skips where there is none."""
    if installation.home is None:
        pytest.skip("this machine has a tritonserver by itself, which is where it is")
    home = parent / ODD_NAME / ".tritonserver"
    shutil.copytree(installation.home, home, symlinks=True, copy_function=_linked)
    return home


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another disk
        shutil.copy2(source, target)
