"""Work that is cut into parts and done side by side: on the cores of this machine, or on a cluster.

`Compute` is the interface; `local` runs parts in processes of this machine, `ray_cluster` on a Ray cluster. Whoever has
work for it writes a function of one part and a sequence of parts, and takes results as they come; which implementation
does it is the business of the composition root. Why it looks like this: docs/adr/0047-compute.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol, TypeVar

__all__ = ["CHECK_SECONDS", "MAX_ATTEMPTS", "Compute", "Part", "Result"]

#: Longest time between two calls of `check` while a run waits for results.
CHECK_SECONDS: Final = 0.5
#: How often one part is begun at most; it is begun again only when the process or the machine that did it was lost.
MAX_ATTEMPTS: Final = 3

Part = TypeVar("Part")
Result = TypeVar("Result")


class Compute(Protocol):
    """Does the parts of a work side by side; safe to use from several threads."""

    def run(
        self, task: Callable[[Part], Result], parts: Sequence[Part], *, check: Callable[[], object]
    ) -> Iterator[tuple[int, Result]]:
        """Do all parts, and yield the result of each once, in the order in which they end.

        A part is read from the sequence once, in their order, when there is a place for it, and in the thread that
        iterates; so a sequence may make its parts as they are read, from results that were yielded before. No more
        parts are held than are done at a time.

        A part may be begun again, up to `MAX_ATTEMPTS` times, when what did it was lost, so a task must be
        repeatable: what it writes has to be published by its caller, or under a name that a repetition replaces.
        Only its last attempt has a result. Closing the iterator cancels what runs.

        Args:
            task: A function of a module, which processes import by name; it may keep what is costly to load in its
                module from one part to the next. It takes a part that can be pickled, and returns a result that can.
                Both cross a pipe or a network whole: what is large goes through files, and is named here.
            parts: What to do.
            check: Called at least each second while results are waited for; what it raises cancels what runs, and is
                raised.

        Yields:
            Place of a part in the sequence, and its result.

        Raises:
            ValueError: The task is no function of a module.
            Unavailable: What did a part was lost each time.
            Exception: What the task raised, with the place of the part and its traceback as notes; what runs is
                cancelled.
        """
        ...
