"""Maps a function over items in threads, for decoding images: Pillow releases the GIL. Or in any other pool."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yields the result of each item, in order; after an error, or if the caller stops, waiting items are dropped."""
    with ThreadPoolExecutor() as pool:
        yield from map_in_pool(pool, work, items)


def map_in_pool(pool: Executor, work: Callable[..., Result], *items: Iterable[Any]) -> Iterator[Result]:
    """Yields the results of `pool.map`; after an error, or if the caller stops, waiting items are dropped."""
    try:
        yield from pool.map(work, *items)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
