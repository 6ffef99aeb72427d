"""Shows how far the bytes of a transfer are."""

from collections.abc import Callable

from traffic_signs.progress import ProgressCallback

Advance = Callable[[int], None]  # called with the bytes of each piece


def counting(progress: ProgressCallback, what: str, total: int) -> Advance:
    """Returns what adds up pieces of `total` bytes and shows them, in units of 1000 bytes."""
    done = 0

    def advance(piece: int) -> None:
        nonlocal done
        done += piece
        progress(f"{what} (kB)", done // 1000, max(total // 1000, 1))

    return advance
