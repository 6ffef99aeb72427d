"""The type of the fixture `signs`, which runs the command line."""

from collections.abc import Callable

Signs = Callable[..., int]
