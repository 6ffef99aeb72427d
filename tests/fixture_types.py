"""Types of fixtures that are functions."""

from collections.abc import Callable
from pathlib import Path

from serving.server import RunningServer

Signs = Callable[..., tuple[int, str, str]]  # runs the command line; gives code, standard output and standard error
Serve = Callable[[Path], RunningServer]  # starts a real tritonserver on a repository
Once = Callable[[str, Callable[[Path], object]], Path]  # has a folder filled once for all processes of a test run
