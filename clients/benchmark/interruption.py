"""Ctrl-C and SIGTERM during a measurement: none is lost, and a second one does not break the report."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

STOPS = (signal.SIGINT, signal.SIGTERM)
Handler = Callable[[int, FrameType | None], Any] | signal.Handlers


@contextlib.contextmanager
def heeded() -> Iterator[Callable[[], None]]:
    """Yields a function that repeats the exception of a signal in the block if it was lost; call it between steps.

    Python only prints an exception that a signal raises during a callback, such as at the start of a process.
    """
    before = {number: signal.getsignal(number) for number in STOPS}
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    def again() -> None:
        if seen:
            note(seen[0], None)

    with _handled(tuple(number for number, handler in before.items() if callable(handler)), note):
        yield again


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Delays signals to the end of the block, such as the start of a process, where they would be lost."""
    seen: list[int] = []
    try:
        with _handled(STOPS, lambda number, _: seen.append(number)):
            yield
    finally:
        if seen:
            signal.raise_signal(seen[0])


def undisturbed() -> contextlib.AbstractContextManager[None]:
    """Ignores Ctrl-C in the block."""
    return _handled((signal.SIGINT,), signal.SIG_IGN)


@contextlib.contextmanager
def _handled(numbers: tuple[signal.Signals, ...], handler: Handler) -> Iterator[None]:
    is_main = threading.current_thread() is threading.main_thread()  # only the main thread receives signals
    before = {number: signal.signal(number, handler) for number in numbers if is_main}
    try:
        yield
    finally:
        for number, each in before.items():
            if signal.getsignal(number) is handler:  # one may have replaced itself, so that it runs only once
                signal.signal(number, each)
