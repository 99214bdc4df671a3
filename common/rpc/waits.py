"""Load shedding: how long calls have waited before Python was given them, and whether too many wait.

gRPC's own threads take calls off the connections and give them to the event loop one after another. So where calls come
faster than they are answered the queue is inside of gRPC: of thousands that wait Python is given one, and is not told
for how long it waited. What gRPC does count is how many calls have begun and how many are over (channelz). As calls are
handed over in the order in which they came, the n-th that is handed over is the n-th that has begun, and the last looks
at the counters say when that was.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from grpc_channelz.v1 import channelz, channelz_pb2

__all__ = ["CallCounts", "CallWaits", "counters_of_newest_server"]

_CHANNELZ: Final = channelz.ChannelzServicer  # type: ignore[attr-defined]  # not in the stubs
#: Between two looks while calls wait long, and while they do not: a look takes 0.3 ms, and 4 ms on a busy machine.
_LOOK_SECONDS: Final = 0.1
_CALM_SECONDS: Final = 0.5
#: Calls wait long, but not too long yet, from this part of the limit on.
_LONG: Final = 0.125


@dataclass(frozen=True, slots=True)
class CallCounts:
    """Calls of a server since it was made.

    Attributes:
        begun: Those whose headers have arrived.
        ended: Those of them that are over, answered or given up.
    """

    begun: int
    ended: int


def counters_of_newest_server() -> Callable[[], CallCounts]:
    """Return what reads gRPC's counters of the server of this process that was made last, with channelz enabled."""
    request = channelz_pb2.GetServersRequest()
    servers: Any = _CHANNELZ.GetServers(request, None)
    newest = channelz_pb2.GetServerRequest(server_id=max(server.ref.server_id for server in servers.server))

    def read() -> CallCounts:
        answer: Any = _CHANNELZ.GetServer(newest, None)
        counted = answer.server.data
        return CallCounts(counted.calls_started, counted.calls_succeeded + counted.calls_failed)

    return read


class CallWaits:
    """Tells whether calls wait for too long; used on the server's event loop only.

    Args:
        limit_seconds: How long a call may have waited. Once calls have waited longer for as long again, they are
            refused until one has waited for less than half of it: so the queue gets shorter, instead of staying where
            everybody waits the longest.
        clock: Returns seconds.
    """

    def __init__(self, *, limit_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit_seconds = limit_seconds
        self._calm_seconds = max(_LOOK_SECONDS, min(_CALM_SECONDS, limit_seconds / 2))
        self._clock = clock
        self._n_open = 0
        self._n_given = 0
        self._n_given_before = 0
        #: Calls that have begun and are never handed over: their callers gave up, or there is no such method.
        self._n_missed = 0
        self._is_refusing = False
        self._late_since: float | None = None
        #: How many calls had begun, and when: the last look at which the call that was handed over last had not, then
        #: those at which it had.
        self._looks: deque[tuple[int, float]] = deque()

    def begin(self) -> None:
        """Count a call that was handed over."""
        self._n_open += 1
        self._n_given += 1

    def end(self) -> None:
        """Count a call that is over."""
        self._n_open -= 1

    @property
    def seconds(self) -> float:
        """How long the call that was handed over last has waited; 0 if it came since the last look."""
        looks, number = self._looks, self._n_given + self._n_missed
        while len(looks) > 1 and looks[1][0] < number:
            looks.popleft()
        if len(looks) < 2:
            return 0.0
        (before, earlier), (after, later) = looks[0], looks[1]
        share = (number - before) / (after - before) if number > before else 0.0
        return self._clock() - earlier - share * (later - earlier)

    def is_too_long(self) -> bool:
        """Return whether the call that was handed over last is to be refused.

        After a moment in which the process stood still calls have waited long as well, and are soon answered: so the
        first is refused when calls have waited for too long all through as much time again.
        """
        now, bound = self._clock(), self.limit_seconds / 2 if self._is_refusing else self.limit_seconds
        if len(self._looks) < 2 or self.seconds <= bound:
            self._is_refusing, self._late_since = False, None
            return False
        if self._late_since is None:
            self._late_since = now
        self._is_refusing = self._is_refusing or now - self._late_since >= self.limit_seconds
        return self._is_refusing

    def look(self, read: Callable[[], CallCounts]) -> bool:
        """Look at the server's counters, unless nobody calls it.

        That is where no call was handed over since the last look, and none is in progress: a single one may have kept
        all others waiting.

        Returns:
            Whether they were looked at.
        """
        n_new, self._n_given_before = self._n_given - self._n_given_before, self._n_given
        if not n_new and not self._n_open:
            self._looks.clear()
            return False
        counts = read()
        # At least those that are over and were not handed over; gRPC may count the end of others late. And no more than
        # are not handed over, which is exact whenever nobody waits.
        missed = max(self._n_missed, counts.ended + self._n_open - self._n_given)
        self._n_missed = min(missed, counts.begun - self._n_given)
        if counts.begun <= self._n_given + self._n_missed:
            self._looks.clear()  # nobody waits, however long those in progress take
        if len(self._looks) > 1 and self._looks[-1][0] == self._looks[-2][0] == counts.begun:
            self._looks.pop()  # of looks at the same number the first and the last tell all
        self._looks.append((counts.begun, self._clock()))
        return True

    def pause_seconds(self) -> float:
        """Return the time until the next look."""
        return _LOOK_SECONDS if self.seconds > _LONG * self.limit_seconds else self._calm_seconds

    async def follow(self, read: Callable[[], CallCounts], note: Callable[[float], None]) -> None:
        """Look periodically, until cancelled; note how long the call that was handed over last has waited."""
        while True:
            await asyncio.sleep(self.pause_seconds())
            if self.look(read):
                note(self.seconds)
