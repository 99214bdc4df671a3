"""Work on the parts of a file in a few threads, whose results come in the parts' order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

__all__ = ["in_order"]

#: As one thread copies bytes another waits for Polars, which has threads of its own: more would find nothing to do.
_THREADS: Final = 2
Part = TypeVar("Part")
Result = TypeVar("Result")


def in_order(work: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
    """Yield what is made of each part; parts are taken, and results kept, a few ahead at most.

    What `work` or `parts` raises is raised after the results of the parts before it. When the iterator is closed, no
    thread is left.

    Args:
        work: Called in other threads; whatever it uses must bear that.
        parts: Iterated in the caller's thread.
    """
    futures: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="read-ahead") as threads:
        try:
            taken = iter(parts)
            while True:
                try:
                    part = next(taken)
                except StopIteration:
                    break
                except Exception:
                    yield from _results(futures, left=0)
                    raise
                futures.append(threads.submit(work, part))
                yield from _results(futures, left=_THREADS)
            yield from _results(futures, left=0)
        finally:
            threads.shutdown(cancel_futures=True)


def _results(futures: deque[Future[Result]], *, left: int) -> Iterator[Result]:
    while len(futures) > left:
        yield futures.popleft().result()
