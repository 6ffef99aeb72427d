"""Ctrl-C and SIGTERM during a measurement: none is lost, and a second one does not break the report."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM)


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

    if threading.current_thread() is not threading.main_thread():  # only the main thread receives signals
        yield again
        return
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, note)
    try:
        yield again
    finally:
        for number, handler in before.items():
            # A handler may have replaced itself, so that it runs only once.
            if signal.getsignal(number) is note:
                signal.signal(number, handler)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Delays signals to the end of the block, such as the start of a process, where they would be lost."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []
    before = {number: signal.signal(number, lambda number, _: seen.append(number)) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if seen:
            signal.raise_signal(seen[0])


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ignores Ctrl-C in the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
