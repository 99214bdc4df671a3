"""Up to which positions of the log all workers of this host have puts in snapshots: the store need not keep those.

A worker reads what its snapshots do not contain from the store, so a put stays until every worker has one that does.
Each worker writes a file of its own, which is replaced whole; what cannot be read removes nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from common.logs import get_logger
from common.positions import Position
from common.private_files import private_folder, replace_private
from common.process.upkeep import keep_doing
from common.telemetry import NO_FIGURES, Figures
from runtime_service.figures import UPKEEP_FAILURES
from runtime_service.history import HistoryWriter

__all__ = ["Held", "HeldPositions", "prune_held"]

_PRUNE_SECONDS: Final = 10.0
#: Position that a snapshot contains, by dataset group and type of the dataset.
Held = Mapping[tuple[str, str], Position]
_log = get_logger(__name__)


class HeldPositions:
    """The files; methods read and write the disk.

    Args:
        folder: Of the store.
        names: Of all workers.
    """

    def __init__(self, folder: Path, *, names: Sequence[str]) -> None:
        self._folder = folder / "held"
        self._names = tuple(names)

    def write(self, name: str, held: Held) -> None:
        """Say what the snapshots of a worker contain.

        Raises:
            OSError: The file cannot be written; the one before is still there.
        """
        private_folder(self._folder)
        rows = [[*dataset, position.epoch, position.offset] for dataset, position in sorted(held.items())]
        replace_private(self._folder / f"{name}.json", json.dumps(rows))

    def read(self) -> Mapping[tuple[str, str], tuple[Position, ...]]:
        """Return the positions of every worker, of those datasets that all of them have a snapshot of."""
        workers = [self._of_worker(name) for name in self._names]
        shared = set(workers[0]).intersection(*workers[1:]) if workers else set()
        return {dataset: tuple(worker[dataset] for worker in workers) for dataset in shared}

    def _of_worker(self, name: str) -> Held:
        path = self._folder / f"{name}.json"
        try:
            rows = json.loads(path.read_bytes())
            return {(str(group), str(kind)): Position(int(epoch), int(offset)) for group, kind, epoch, offset in rows}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, RecursionError) as error:
            _log.warning("held_positions_unreadable", file=str(path), cause=str(error))
            return {}


async def prune_held(
    history: HistoryWriter,
    held: HeldPositions,
    *,
    pause_seconds: float = _PRUNE_SECONDS,
    figures: Figures = NO_FIGURES,
) -> None:
    """Remove what snapshots contain from the store, again and again, until cancelled.

    Args:
        history: The store; used on this event loop alone.
        held: What the workers have.
        pause_seconds: Time between two looks.
        figures: Count the looks that fail.
    """

    async def prune() -> None:
        positions = await asyncio.to_thread(held.read)
        for (group, dataset_type), contained in positions.items():
            up_to = min(map(history.lineage().shared, contained))
            for _ in history.prune_puts(group, dataset_type, up_to=up_to):
                await asyncio.sleep(0)

    failures = figures.counter(UPKEEP_FAILURES, "pruning")
    await keep_doing(prune, name="pruning", every_seconds=pause_seconds, count_failure=failures.add)
