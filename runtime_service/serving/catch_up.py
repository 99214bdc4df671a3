"""Lets requests that name something unknown wait until this worker has been told of what the control plane has by now.

What is created is ACTIVE at once, and workers are told of it a moment later, by the answer that they wait for: a caller
may be quicker. So before a worker says that there is no such thing, it asks for the revision of what is assigned, and
waits until it has been told that much; see docs/adr/0058-asked-before-not-found.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import grpc.aio

from common.errors import TailorbirdError, Throttled, Unavailable
from common.logs import get_logger
from common.rpc import from_rpc_error
from protos.tailorbird.internal.v1 import serving_pb2, serving_pb2_grpc

__all__ = ["CatchUp"]

#: How long a request waits at most; never beyond the caller's deadline, of which a part is kept for the answer.
_WAIT_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 0.25
#: Questions are at least so many seconds apart, however many requests name what there is not.
_PAUSE_SECONDS: Final = 0.05
#: For so long after a question that failed nobody waits for another.
_AWAY_SECONDS: Final = 1.0
_AWAY: Final = "the control plane cannot be reached"
_log = get_logger(__name__)


class CatchUp:
    """Makes sure that a worker has been told what the control plane had when a request came; used on one event loop.

    A question that begins after a request came serves all requests that came before it, so one is on its way at a time.

    Args:
        control_plane: Stub of its serving service.
        in_force: Waits until requests see what was last assigned of a dataset group.
        max_waiting: Requests that may wait at a time.
    """

    def __init__(
        self,
        control_plane: serving_pb2_grpc.ServingServiceAsyncStub,
        *,
        in_force: Callable[[str], Awaitable[None]],
        max_waiting: int = 256,
    ) -> None:
        self._control_plane = control_plane
        self._in_force = in_force
        self._max_waiting = max_waiting
        #: What was applied last; None while the control plane cannot be reached.
        self._revision: int | None = None
        #: Who waits; by the revision that it waits for, None before the question has begun. A text says what failed.
        self._waiters: dict[asyncio.Future[str | None], int | None] = {}
        self._n_waiting = 0
        self._asking: asyncio.Task[None] | None = None
        self._next_seconds = 0.0
        self._failure: str | None = None

    def applied(self, revision: int) -> None:
        """Note that this worker has applied what the control plane has assigned, as of a revision."""
        self._revision = revision
        self._end(future for future, awaited in self._waiters.items() if awaited is not None and awaited <= revision)

    def lost(self) -> None:
        """Note that the control plane cannot be reached: nobody waits for it."""
        self._revision = None
        self._end(self._waiters, failure=_AWAY)

    async def until_current(self, context: Any, dataset_group_arn: str) -> None:
        """Return once requests see of a group what the control plane had when this was called.

        Args:
            context: Of the call.
            dataset_group_arn: The group.

        Raises:
            Unavailable: That cannot be told now, or takes too long.
            Throttled: Too many requests wait.
        """
        loop = asyncio.get_running_loop()
        if self._revision is None:
            raise Unavailable(_AWAY)
        if self._failure is not None and loop.time() < self._next_seconds:
            raise Unavailable(self._failure)
        if self._n_waiting >= self._max_waiting:
            raise Throttled(f"service: got {self._n_waiting} calls that name what is unknown, want fewer; try again")
        remaining: float | None = context.time_remaining()  # the stubs leave the None out
        seconds = _WAIT_SECONDS if remaining is None else min(_WAIT_SECONDS, remaining - _ANSWER_SECONDS)
        self._n_waiting += 1
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._until_applied()
                await self._in_force(dataset_group_arn)
        except TimeoutError:
            raise Unavailable(
                f"what the control plane has by now has not come within {max(seconds, 0.0):.3g} s"
            ) from None
        finally:
            self._n_waiting -= 1

    async def _until_applied(self) -> None:
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._waiters[future] = None
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_for_all())
        try:
            failure = await future
        finally:
            self._waiters.pop(future, None)
        if failure is not None:
            raise Unavailable(failure)

    async def _ask_for_all(self) -> None:
        """Ask for as long as there is somebody whose question has not begun."""
        clock = asyncio.get_running_loop().time
        try:
            while None in self._waiters.values():
                await asyncio.sleep(self._next_seconds - clock())
                asking = [future for future, awaited in self._waiters.items() if awaited is None]
                if not asking:
                    continue  # they have left meanwhile
                self._next_seconds = clock() + _PAUSE_SECONDS
                self._failure, revision = await self._ask()
                if self._failure is not None:
                    self._next_seconds = clock() + _AWAY_SECONDS
                    self._end(asking, failure=self._failure)
                    continue
                self._waiters.update((future, revision) for future in asking if future in self._waiters)
                if self._revision is not None:
                    self.applied(self._revision)
        finally:
            self._asking = None

    async def _ask(self) -> tuple[str | None, int]:
        """Return what failed, and the revision of what is assigned now."""
        try:
            request = serving_pb2.GetServingRevisionRequest()
            response = await self._control_plane.GetServingRevision(request, timeout=_WAIT_SECONDS)
        except (grpc.aio.AioRpcError, TailorbirdError) as error:
            cause = error if isinstance(error, TailorbirdError) else from_rpc_error(error)
            return f"{_AWAY}: {cause.message}", 0
        except Exception as error:  # noqa: BLE001 -- a bug fails those who wait, and the next question is asked
            _log.error("revision_not_asked", exc_info=error)
            return "internal error", 0
        return None, response.revision

    @staticmethod
    def _end(waiters: Iterable[asyncio.Future[str | None]], *, failure: str | None = None) -> None:
        for future in waiters:
            if not future.done():
                future.set_result(failure)
