"""Whether trainings fit into memory, before they begin: what one needs, what there is, and who has it.

What a training needs is estimated: its process, what it loads, and what its recipe's configuration says of the fit
(`recipes.config.RecipeConfig.fit_bytes`). The constants are fitted to peaks that were measured, see docs/training.md.
An estimate is what is likely, not the most that is possible: a training that fits is not to be refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from common.errors import InvalidInput
from common.logs import get_logger
from recipes.catalog import get_recipe
from recipes.config import RecipeConfig
from recipes.data.size import DataSize
from recipes.registry import read_config
from trainer.training.spec import TrainingSpec
from trainer.worker import JobContext

__all__ = ["MemoryBudget", "available_bytes", "describe_bytes", "needed_bytes", "training_bytes"]

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
#: Pause between two looks at what others have.
_LOOK_SECONDS: Final = 1.0
_log = get_logger(__name__)


def training_bytes(config: RecipeConfig, size: DataSize) -> int:
    """Return about how much memory a training takes at its peak.

    bytes = 250 MiB + 300 users + 1500 items + the larger of what loading takes, 230 MiB + 100 interactions, and of what
    the fit takes by its configuration, with 60 interactions.
    """
    loading = _LOADING + _LOADING_INTERACTION * size.interactions
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
    """Return how much memory a new process may take: of the machine, and of all control groups that this one is in.

    Pages of files that were read count as available, as the kernel gives them up first.

    Args:
        root: Of the file systems that tell of control groups.
    """
    return min([psutil.virtual_memory().available, *_left_in_groups(root)])


def describe_bytes(count: int) -> str:
    """Return bytes in the unit that a person reads."""
    return f"{count / 1024**3:.1f} GiB" if count >= 1024**3 else f"{count / _MIB:.0f} MiB"


class MemoryBudget:
    """Lets trainings begin that fit beside those that run.

    Args:
        limit: Bytes that all may take together; None for what is available.
        available: Returns what a new process may take.
        taken: Returns what the processes of trainings that run have taken already.
    """

    def __init__(
        self,
        limit: int | None,
        *,
        available: Callable[[], int] = available_bytes,
        taken: Callable[[], int] | None = None,
    ) -> None:
        self._limit = limit
        self._available = available
        self._taken = taken or _taken_by_children
        self._reserved: dict[object, int] = {}
        self._changed = threading.Condition()

    @contextmanager
    def reserved(self, needed: int, context: JobContext, *, size: DataSize) -> Iterator[None]:
        """Hold memory for a training while the block runs; waits for trainings that run where it fits without them.

        Args:
            needed: Bytes that it is likely to take.
            context: Of the job.
            size: What it learns from, for the error.

        Raises:
            InvalidInput: It does not fit, whoever else ends.
            JobCancelled: The job must end.
        """
        holder = object()
        self._wait(holder, needed, context, size)
        try:
            yield
        finally:
            with self._changed:
                del self._reserved[holder]
                self._changed.notify_all()

    def _wait(self, holder: object, needed: int, context: JobContext, size: DataSize) -> None:
        while True:
            context.check()
            with self._changed:
                capacity = self._capacity()
                left = capacity - sum(self._reserved.values())
                if needed <= left:
                    self._reserved[holder] = needed
                    _log.info("memory_reserved", needed=needed, left=left - needed)
                    return
                if needed > capacity or not self._reserved:
                    raise InvalidInput(_reason(needed, capacity, size, limit=self._limit))
                others = describe_bytes(max(0, left))
                words = f"waiting for memory: {describe_bytes(needed)} needed, {others} left by others"
                context.report(fraction=0.0, activity=words)
                self._changed.wait(_LOOK_SECONDS)

    def _capacity(self) -> int:
        """Return what all trainings may take together: what is available, and what those that run have of it."""
        if self._limit is not None:
            return self._limit
        return self._available() + (self._taken() if self._reserved else 0)


def _reason(needed: int, capacity: int, size: DataSize, *, limit: int | None) -> str:
    source = "is available" if limit is None else "is what TAILORBIRD_TRAINING_MEMORY_BYTES allows"
    return (
        f"The training does not fit into memory: it needs about {describe_bytes(needed)} for {size.interactions:,} "
        f"interactions of {size.users:,} users with {size.items:,} items, and {describe_bytes(capacity)} {source}. "
        "Give the trainer more memory, train on fewer interactions or items, or with a smaller embedding_size or "
        "hidden_dimension; TAILORBIRD_TRAINING_MEMORY_BYTES sets another limit, and 0 refuses nothing."
    )


def _taken_by_children() -> int:
    total = 0
    for child in psutil.Process().children():
        try:
            total += child.memory_info().rss
        except psutil.Error:
            continue  # it has just ended
    return total


def _left_in_groups(root: Path) -> Iterator[int]:
    """Yield what control groups leave of their limits: the one of this process, and those that it is in."""
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
            if (left := _left(folder, limit, usage)) is not None:
                yield left


def _left(folder: Path, limit: str, usage: str) -> int | None:
    try:
        most = (folder / limit).read_text().strip()
        if most == "max":
            return None
        fields = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        files = sum(int(fields.get(name, 0)) for name in ("inactive_file", "active_file"))
        return int(most) - int((folder / usage).read_text()) + files
    except (OSError, ValueError):
        return None  # a group above those that a container may see
