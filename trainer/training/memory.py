"""Whether trainings fit into memory, before they begin: what one needs, what there is, and who has it.

What a training needs is estimated: its process, what it loads, and what its recipe's configuration says of the fit
(`recipes.config.RecipeConfig.fit_bytes`). The constants are fitted to peaks that were measured, see docs/training.md.
An estimate is what is likely, not the most that is possible: a training that fits is not to be refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from common.errors import InvalidInput, Unavailable
from common.logs import get_logger
from recipes.catalog import get_recipe
from recipes.config import RecipeConfig
from recipes.data.size import DataSize
from recipes.registry import read_config
from trainer.training.spec import TrainingSpec
from trainer.worker import JobContext

__all__ = [
    "MemoryBudget", "Reservation", "available_bytes", "describe_bytes", "needed_bytes", "total_bytes", "training_bytes",
]  # fmt: skip

_MIB: Final = 1024**2
#: A training process that has imported everything and loaded nothing.
_PROCESS: Final = 250 * _MIB
#: What the tables take while they are loaded: batches, and of an interaction its columns and the arrays made of them.
_LOADING: Final = 230 * _MIB
_LOADING_INTERACTION: Final = 100
#: What stays of an interaction.
_LOADED_INTERACTION: Final = 60
#: The same for users and items: ids, vocabularies, popularity, indexes.
_PER_USER: Final = 300
_PER_ITEM: Final = 1500
_log = get_logger(__name__)


def training_bytes(config: RecipeConfig, size: DataSize) -> int:
    """Return about how much memory a training takes at its peak.

    bytes = 250 MiB + 300 users + 1500 items + the larger of what loading takes, 230 MiB + 100 for an interaction of
    whatever type, and of what the fit takes by its configuration, with 60 for one that is learnt from.
    """
    loading = _LOADING + _LOADING_INTERACTION * (size.interactions + size.left_out)
    fit = _LOADED_INTERACTION * size.interactions + config.fit_bytes(size)
    return _PROCESS + _PER_USER * size.users + _PER_ITEM * size.items + max(loading, fit)


def needed_bytes(spec: TrainingSpec, size: DataSize) -> int:
    """Return about how much memory a training takes; of a search, its most expensive candidate.

    Raises:
        InvalidInput: Hyperparameters are out of their ranges.
        ResourceNotFound: No recipe that is built has the name.
    """
    names = [spec.recipe] if spec.search is None else [item.recipe for item in spec.search.candidates]
    given = spec.configuration.hyperparameters if spec.search is None else {}
    return max(training_bytes(read_config(get_recipe(name), given), size) for name in names)


def available_bytes(root: Path = Path("/")) -> int:
    """Return how much memory a new process may take now: of the machine, and of all control groups that this one is in.

    Pages of files that were read count as available, as the kernel gives them up first.

    Args:
        root: Of the file systems that tell of control groups.
    """
    left = [_left(limit, usage) for limit, usage in _groups(root)]
    return min([psutil.virtual_memory().available, *(item for item in left if item is not None)])


def total_bytes(root: Path = Path("/")) -> int:
    """Return how much memory a process could take if nothing else ran: of the machine, and of its control groups.

    Args:
        root: Of the file systems that tell of control groups.
    """
    limits = [_limit(limit) for limit, _ in _groups(root)]
    return min([psutil.virtual_memory().total, *(item for item in limits if item is not None)])


def describe_bytes(count: int) -> str:
    """Return bytes in the unit that a person reads."""
    return f"{count / 1024**3:.1f} GiB" if count >= 1024**3 else f"{count / _MIB:.0f} MiB"


@dataclass(slots=True, eq=False)
class Reservation:
    """Memory that a training waits for or has.

    Attributes:
        needed: Bytes that it is likely to take.
        process_id: Of its process; None before it has begun.
    """

    needed: int
    process_id: int | None = None

    def begin(self, process_id: int) -> None:
        """Count from now on what a process has taken as a part of it."""
        self.process_id = process_id


class MemoryBudget:
    """Lets trainings begin that fit beside those that run, in the order in which they come.

    Args:
        limit: Bytes that all may take together; None for what is available.
        available: Returns what a new process may take now.
        total: Returns what it could take if nothing else ran.
        taken: Returns what the process of a training, by its id, has taken already.
        patience_seconds: How long a training waits for memory that none of the others has.
        look_seconds: Pause between two looks at what others have.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self,
        limit: int | None,
        *,
        available: Callable[[], int] = available_bytes,
        total: Callable[[], int] = total_bytes,
        taken: Callable[[int], int] | None = None,
        patience_seconds: float = 600.0,
        look_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._available = available
        self._total = total
        self._taken = taken or _taken_by_process
        self._patience = patience_seconds
        self._look_seconds = look_seconds
        self._clock = clock
        self._held: list[Reservation] = []
        self._queue: list[Reservation] = []
        self._changed = threading.Condition()

    @contextmanager
    def reserved(self, needed: int, context: JobContext, *, size: DataSize) -> Iterator[Reservation]:
        """Hold memory for a training while the block runs; waits for what others have now.

        Args:
            needed: Bytes that it is likely to take.
            context: Of the job.
            size: What it learns from, for the error.

        Yields:
            What is to be told of the process of the training.

        Raises:
            InvalidInput: It does not fit, whoever else ends.
            Unavailable: Others than trainings of this trainer have had the memory for too long.
            JobCancelled: The job must end.
        """
        total = self._total() if self._limit is None else self._limit
        if needed > total:
            raise InvalidInput(_reason(needed, total, size, limit=self._limit))
        reservation = Reservation(needed)
        with self._changed:
            self._queue.append(reservation)
        try:
            self._wait(reservation, context)
            yield reservation
        finally:
            with self._changed:
                for reservations in (self._queue, self._held):
                    if reservation in reservations:
                        reservations.remove(reservation)
                self._changed.notify_all()

    def _wait(self, reservation: Reservation, context: JobContext) -> None:
        short_since = self._clock()
        while True:
            context.check()
            with self._changed:
                # Those that came before go before, also where they need more: else they might wait for ever.
                left, is_first = self._left(), self._queue[0] is reservation
                if is_first and reservation.needed <= left:
                    self._queue.remove(reservation)
                    self._held.append(reservation)
                    _log.info("memory_reserved", needed=reservation.needed, left=left - reservation.needed)
                    return
                needed, by_others = describe_bytes(reservation.needed), describe_bytes(max(0, left))
                words = f"waiting for memory: {needed} needed, {by_others} left by others"
                if self._held or not is_first:
                    short_since = self._clock()  # trainings end
                elif self._clock() - short_since >= self._patience:
                    raise Unavailable(f"gave up {words}; stop what else runs on the machine, or give it more memory")
                context.report(fraction=0.0, activity=words)
                self._changed.wait(self._look_seconds)

    def _left(self) -> int:
        """Return what a training may take beside those that run, which will take the rest of what they need."""
        if self._limit is not None:
            return self._limit - sum(item.needed for item in self._held)
        return self._available() - sum(max(0, item.needed - self._has(item)) for item in self._held)

    def _has(self, reservation: Reservation) -> int:
        return 0 if reservation.process_id is None else self._taken(reservation.process_id)


def _reason(needed: int, total: int, size: DataSize, *, limit: int | None) -> str:
    source = "is all that there is" if limit is None else "is what TAILORBIRD_TRAINING_MEMORY_BYTES allows"
    return (
        f"The training does not fit into memory: it needs about {describe_bytes(needed)} for {size.interactions:,} "
        f"interactions of {size.users:,} users with {size.items:,} items, and {describe_bytes(total)} {source}. "
        "Give the trainer more memory, train on fewer interactions or items, or with a smaller embedding_size or "
        "hidden_dimension; TAILORBIRD_TRAINING_MEMORY_BYTES sets another limit, and 0 refuses nothing."
    )


def _taken_by_process(process_id: int) -> int:
    """Return what a process and those that it has started have taken; 0 where it has ended."""
    total = 0
    try:
        process = psutil.Process(process_id)
        for member in (process, *process.children(recursive=True)):
            total += member.memory_info().rss
    except psutil.Error:
        return total  # it has just ended
    return total


def _groups(root: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the files of limit and usage of the control groups that this process is in, and of those around them."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return  # no Linux
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2: one tree for everything
            mount, limit, usage = root / "sys/fs/cgroup", "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            mount, limit, usage = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(mount):
                break
            yield folder / limit, folder / usage


def _limit(file: Path) -> int | None:
    """Return a group's limit; None for none, and for a group above those that a container may see."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # "max" is no number
        return None


def _left(limit: Path, usage: Path) -> int | None:
    """Return what a group leaves of its limit."""
    if (most := _limit(limit)) is None:
        return None
    try:
        fields = dict(line.split() for line in (usage.parent / "memory.stat").read_text().splitlines())
        # In version 1 usage is that of the groups below too, whose pages other names count.
        names = ("inactive_file", "active_file")
        files = sum(int(fields.get(f"total_{name}", fields.get(name, 0))) for name in names)
        return most - int(usage.read_text()) + files
    except (OSError, ValueError):
        return None
