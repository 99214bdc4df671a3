"""Which of several processes consumes a log: a lease in a key-value bucket of the server.

The entry has a new revision with each renewal. Whoever has seen the same one for as long as the lease lasts, by a
clock of its own, takes the lease with a write that the server accepts only for that revision; so clocks of machines are
never compared. The holder gives itself less time than that, from before its renewal on. A machine that stands still in
between may yet believe to hold the lease when another one does: writers must not rely on it alone.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import BucketNotFoundError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from common.errors import TailorbirdError, Unavailable
from common.logs import get_logger
from events_service.log.stream_target import StreamTarget

__all__ = ["ConsumerLease", "is_consumed", "lease_bucket"]

_log = get_logger(__name__)
_KEY: Final = "consumer"
#: Of a lease: how often it is renewed, or looked at; and how long it is believed in after a renewal.
_RENEWED: Final = 0.25
_BELIEVED: Final = 0.75
_GIVE_UP_SECONDS: Final = 2.0


def lease_bucket(target: StreamTarget) -> str:
    """Return the name of the bucket beside a stream."""
    return f"{target.stream}_lease"


async def is_consumed(context: JetStreamContext, target: StreamTarget, *, seconds: float) -> bool:
    """Return whether a running process holds the lease, after looking on for at most as long as a lease lasts.

    Raises:
        Unavailable: The server does not answer.
    """
    try:
        bucket = await context.key_value(lease_bucket(target))
        first = (await bucket.get(_KEY)).revision
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(min(1.0, seconds))
            if (await bucket.get(_KEY)).revision != first:
                return True
    except (BucketNotFoundError, KeyNotFoundError):
        return False
    except NatsError as error:
        raise Unavailable(f"event log: its lease cannot be read: {error}") from error
    return False


class ConsumerLease:
    """One process's view of the lease; `run` and `give_up` are called on one event loop, `held` from any thread.

    Args:
        context: Of the connection, which need not be there yet.
        bucket: Name of the bucket, which is made if there is none.
        replicas: Servers that hold the bucket, when it is made.
        seconds: How long the lease lasts after a renewal.
        monotonic: Returns seconds on a clock that nobody sets.
        catch_up: Completes when this process sees all that the holder before has written.
    """

    def __init__(
        self,
        context: JetStreamContext,
        *,
        bucket: str,
        replicas: int,
        seconds: float,
        monotonic: Callable[[], float],
        catch_up: Callable[[], Awaitable[None]],
    ) -> None:
        self._context = context
        self._config = KeyValueConfig(bucket=bucket, storage=StorageType.FILE, replicas=replicas)
        self._seconds = seconds
        self._monotonic = monotonic
        self._catch_up = catch_up
        self._name = secrets.token_hex(8).encode()
        self._bucket: KeyValue | None = None
        #: Of the entry that this process wrote; None while another one holds the lease.
        self._own_revision: int | None = None
        self._seen_revision = 0
        self._seen_at = 0.0
        self._held_until = 0.0
        self._has_caught_up = False

    def held(self) -> bool:
        """Return whether this process holds the lease."""
        return self._monotonic() < self._held_until

    async def run(self) -> None:
        """Take the lease when it is free, and renew it, until cancelled."""
        while True:
            try:
                await self._turn()
            except KeyWrongLastSequenceError:
                self._lose()
            except (NatsError, TailorbirdError, OSError) as error:
                # What is believed ends by itself; the bucket may have to be made again.
                self._bucket = None
                _log.debug("lease_unknown", message=str(error) or type(error).__name__)
            await asyncio.sleep(self._seconds * _RENEWED)

    async def give_up(self) -> None:
        """Let another process have the lease at once, as far as the server can be reached."""
        revision, self._held_until = self._own_revision, 0.0
        if revision is not None and self._bucket is not None:
            with suppress(NatsError, OSError, TimeoutError):
                await asyncio.wait_for(self._bucket.delete(_KEY, last=revision), _GIVE_UP_SECONDS)

    async def _turn(self) -> None:
        bucket = await self._opened()
        if self._own_revision is not None:
            began = self._monotonic()
            self._own_revision = await bucket.update(_KEY, self._name, last=self._own_revision)
            await self._hold(began)
            return
        revision, name = await self._entry(bucket)
        now = self._monotonic()
        if name == self._name:
            self._own_revision = revision  # the answer to our own write was lost
            return
        if revision != self._seen_revision:
            self._seen_revision, self._seen_at = revision, now
        if revision and now - self._seen_at < self._seconds:
            return
        if revision:
            self._own_revision = await bucket.update(_KEY, self._name, last=revision)
        else:
            self._own_revision = await bucket.create(_KEY, self._name)
        await self._hold(now)

    async def _hold(self, began: float) -> None:
        """Believe in the lease after a write that began at a time."""
        if not self._has_caught_up:
            await self._catch_up()
            self._has_caught_up = True
            _log.info("consumption_taken")
        self._held_until = began + self._seconds * _BELIEVED

    def _lose(self) -> None:
        if self._own_revision is not None:
            _log.warning("consumption_lost")
        self._own_revision, self._held_until, self._has_caught_up = None, 0.0, False

    async def _entry(self, bucket: KeyValue) -> tuple[int, bytes]:
        """Return the revision of the entry and who wrote it; 0 when nobody holds the lease."""
        try:
            entry = await bucket.get(_KEY)
        except KeyNotFoundError:
            return 0, b""
        return entry.revision or 0, entry.value or b""

    async def _opened(self) -> KeyValue:
        if self._bucket is None:
            try:
                self._bucket = await self._context.key_value(self._config.bucket)
            except BucketNotFoundError:
                self._bucket = await self._context.create_key_value(self._config)
        return self._bucket
