"""Up to which offset answers include the event log, and the wait of callers who want theirs to include what they sent.

What is stored of the log belongs to another process, so a worker looks how far it is: once every few milliseconds for
all who wait, and not at all while nobody does.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

from common.errors import DeadlineExceeded, Throttled
from common.event_offsets import WAIT_KEY
from common.positions import START, Position
from common.rpc import required_offset, tell_offset
from runtime_service.features.updater import FeatureUpdater
from runtime_service.history import HistoryReader, Progress

__all__ = ["EventOffsets"]

#: Pause between two looks.
_LOOK_SECONDS: Final = 0.005
#: Part of the caller's time that is kept for the answer, or for the error that says how far the log was read.
_ANSWER_SECONDS: Final = 0.25


class _Included(NamedTuple):
    """What answers include.

    Attributes:
        progress: How far the histories are.
        position: How far what was put is as well.
    """

    progress: Progress
    position: Position

    def reaches(self, required: Position) -> bool:
        return required.offset <= self.position.offset and self.progress.lineage.has(required)


class EventOffsets:
    """Tells callers of one worker which offset their answers include; used on one event loop.

    Args:
        histories: What users did a moment ago.
        features: What was put; behind the histories for a moment.
        wait_seconds: How long a caller may wait at most; 0 lets nobody wait.
        max_waiting: Callers who may wait at a time.
    """

    def __init__(
        self, histories: HistoryReader, features: FeatureUpdater, *, wait_seconds: float = 5.0, max_waiting: int = 256
    ) -> None:
        self._histories = histories
        self._features = features
        self._wait_seconds = wait_seconds
        self._max_waiting = max_waiting
        self._pending: dict[asyncio.Future[_Included], tuple[str, Position]] = {}
        self._first = _Included(histories.progress(), START)
        self._last: dict[str, _Included] = {}  # by dataset group: one may be behind the others
        self._looking: asyncio.Task[None] | None = None

    async def included(self, context: Any, dataset_group_arn: str) -> Position:
        """Return what the answer to a call will include at least, and send it along; wait if the caller wants that.

        Everything that the answer is made of is to be read after this.

        Args:
            context: Of the call.
            dataset_group_arn: The group that the answer is made of.

        Raises:
            InvalidInput: What the caller wants to be included is no offset.
            DeadlineExceeded: It was not included in time.
            Throttled: Too many callers wait.
        """
        included = self._look(dataset_group_arn)
        if (required := required_offset()) is not None and not included.reaches(required):
            included = await self._wait(required, context, dataset_group_arn)
        tell_offset(context, included.position)
        return included.position

    def _look(self, group_arn: str) -> _Included:
        progress, last = self._histories.progress(), self._last.get(group_arn, self._first)
        offset = self._features.included(progress, group_arn)
        if progress.lineage is last.progress.lineage:
            # What answers have included once they include for good, though the features know of earlier puts alone.
            offset = max(offset, last.position.offset)
        if progress is not last.progress or offset != last.position.offset:
            last = self._last[group_arn] = _Included(progress, progress.lineage.at(offset))
        return last

    async def _wait(self, required: Position, context: Any, group_arn: str) -> _Included:
        if len(self._pending) >= self._max_waiting:
            raise Throttled(f"`{WAIT_KEY}`: got {len(self._pending)} calls that wait, want fewer; try again later")
        remaining: float | None = context.time_remaining()  # the stubs leave the None out
        seconds = self._wait_seconds if remaining is None else min(self._wait_seconds, remaining - _ANSWER_SECONDS)
        future = asyncio.get_running_loop().create_future()
        self._pending[future] = group_arn, required
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_for_all())
        try:
            return await asyncio.wait_for(future, max(seconds, 0.0))
        except TimeoutError:
            included = self._look(group_arn).position
            raise DeadlineExceeded(
                f"`{WAIT_KEY}`: got {required}, not included in answers after {max(seconds, 0.0):.3g} s, want more "
                f"time, or an offset up to {included}",
                metadata={"wanted_event_offset": str(required), "reached_event_offset": str(included)},
            ) from None
        finally:
            self._pending.pop(future, None)

    async def _look_for_all(self) -> None:
        """Look for as long as anybody waits."""
        try:
            while self._pending:
                included = {
                    group_arn: self._look(group_arn) for group_arn in {arn for arn, _ in self._pending.values()}
                }
                for future, (group_arn, required) in self._pending.items():
                    if not future.done() and included[group_arn].reaches(required):
                        future.set_result(included[group_arn])
                await asyncio.sleep(_LOOK_SECONDS)
        except Exception as error:  # noqa: BLE001 -- those who wait raise it
            for future in self._pending:
                if not future.done():
                    future.set_exception(error)
        finally:
            self._looking = None
