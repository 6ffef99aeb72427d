"""Ctrl-C and SIGTERM while something is measured: heeded also where Python loses them, and not twice."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def heeded() -> Iterator[Callable[[], None]]:
    """Gives a function that raises once more what a signal has raised in the block, where that got lost.

    It gets lost where the signal comes while Python runs a callback, as it does whenever it starts a process: what is
    raised there is printed and forgotten. Call the function between pieces of work.
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

    if threading.current_thread() is not threading.main_thread():  # which alone receives signals
        yield again
        return
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, note)
    try:
        yield again
    finally:
        for number, handler in before.items():
            # A handler may have put something else in its place, such as to end only once.
            if signal.getsignal(number) is note:
                signal.signal(number, handler)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Puts signals off to the end of the block: for the start of a process, where they would get lost with a noise."""
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
    """Lets a second Ctrl-C not break what the first one asked for."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
