"""Loads artifacts beside the event loop: few at a time, each once, and none waited for without end."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from common.errors import Unavailable
from common.telemetry import NO_FIGURES, Figures
from inference.model import Model
from runtime_service.figures import LOADS
from runtime_service.serving.deployments import Assignment, Deployment

__all__ = ["Loads", "Opener", "StillLoading"]

#: Loads that are waited for at a time: each reads a whole artifact.
_AT_ONCE: Final = 2
#: Threads: a load that hangs keeps its own, and loses its turn.
_THREADS: Final = 8


class StillLoading(Unavailable):
    """A load takes longer than it is waited for; it goes on, and may be waited for again."""


class Opener(Protocol):
    """Opens artifacts, in any thread."""

    def load(self, location: str) -> Model:
        """Open, verify and warm an artifact."""

    def forget_others(self, locations: Collection[str]) -> None:
        """Keep local copies of these artifacts alone."""


class Loads:
    """Makes deployments; used on one event loop.

    Args:
        opener: Opens artifacts.
        limit_seconds: A load that takes longer fails for those who wait, and goes on: who asks again gets its result.
        cache_users: Vectors kept per campaign.
        figures: Count the loads.
    """

    def __init__(
        self, opener: Opener, *, limit_seconds: float, cache_users: int, figures: Figures = NO_FIGURES
    ) -> None:
        self._loaded, self._failed = figures.counter(LOADS, "loaded"), figures.counter(LOADS, "failed")
        self._opener = opener
        self._limit_seconds = limit_seconds
        self._cache_users = cache_users
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="load")
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._running: dict[str, asyncio.Future[Model]] = {}

    async def make(self, assignment: Assignment, *, served: Iterable[Deployment]) -> Deployment:
        """Load an artifact and put it to work.

        Args:
            assignment: What for.
            served: What is loaded already: artifacts never change, and these were verified.

        Raises:
            StillLoading: The load takes too long.
            Unavailable: The store cannot be reached or read.
            TailorbirdError: As of `ModelLoader.load`.
        """
        location = assignment.artifact_location
        model = next((one.model for one in served if one.assignment.artifact_location == location), None)
        if model is None:
            model = await self._load(location)
        return await asyncio.to_thread(Deployment.make, assignment, model, cache_users=self._cache_users)

    async def forget_others(self, locations: Collection[str]) -> None:
        """Keep local copies of these artifacts alone, and of those that are being loaded."""
        await asyncio.to_thread(self._opener.forget_others, {*locations, *self._running})

    async def _load(self, location: str) -> Model:
        work = self._running.get(location)
        if work is not None:
            return await self._result(work, location)
        async with self._turns:
            # Another may have begun it meanwhile.
            return await self._result(self._running.get(location) or self._begin(location), location)

    def _begin(self, location: str) -> asyncio.Future[Model]:
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._opener.load, location)
        self._running[location] = work
        work.add_done_callback(lambda done: self._ended(location, done))
        return work

    def _ended(self, location: str, work: asyncio.Future[Model]) -> None:
        del self._running[location]
        if not work.cancelled():
            # Whoever still waits raises it; without this it would be told as never looked at.
            (self._loaded if work.exception() is None else self._failed).add()

    async def _result(self, work: asyncio.Future[Model], location: str) -> Model:
        done, _ = await asyncio.wait({work}, timeout=self._limit_seconds)
        if not done:
            raise StillLoading(
                f"artifact {location}: got no end of its loading within {self._limit_seconds:g} seconds; it goes on"
            )
        try:
            return work.result()
        except OSError as error:
            raise Unavailable(f"artifact {location}: {error}") from error
