"""Parts on a Ray cluster, by a process for each run that speaks with it; see `ray_driver`.

Nothing of Ray is imported here: a trainer that does not use it needs nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from os import SEEK_END
from tempfile import TemporaryFile
from typing import IO, Any, Final

from common.compute import CHECK_SECONDS, Part, Result
from common.compute.child import Child
from common.compute.messages import DONE, FAILED, LOST, NEXT, NO_CLUSTER
from common.compute.tasks import check_importable, lost_part, noted
from common.errors import InvalidInput, Unavailable
from common.logs import get_logger

__all__ = ["RayCompute"]

#: Time for the driver to take leave of the cluster once there are no more parts.
_END_SECONDS: Final = 10.0
#: Of what a driver wrote, for the log when it died.
_TAIL_BYTES: Final = 4000
_log = get_logger(__name__)


class RayCompute:
    """Runs parts as tasks of a Ray cluster; see `Compute`.

    Its machines have the same Tailorbird, Python and Ray as this one, which is a machine of the cluster too.

    Args:
        address: `HOST:PORT` of the cluster's head.
        most_parts: How many parts are done at a time at most, however many places there are; None for any number.

    Raises:
        InvalidInput: Ray is not installed.
    """

    def __init__(self, address: str, *, most_parts: int | None = None) -> None:
        if find_spec("ray") is None:
            raise InvalidInput("`compute`: got ray, which is not installed here; install tailorbird[ray]")
        self._address = address
        self._most_parts = most_parts

    def run(
        self, task: Callable[[Part], Result], parts: Sequence[Part], *, check: Callable[[], object]
    ) -> Iterator[tuple[int, Result]]:
        """Do all parts; see `Compute.run`.

        Raises:
            Unavailable: The cluster cannot be reached, or was lost.
        """
        check_importable(task)
        return self._run(task, parts, check)

    def _run(
        self, task: Callable[[Part], Result], parts: Sequence[Part], check: Callable[[], object]
    ) -> Iterator[tuple[int, Result]]:
        check()
        if not parts:
            return
        # What Ray writes, at length whenever a node is lost, is no line of this process's log.
        with TemporaryFile() as output:
            driver = Child("common.compute.ray_driver", self._address, str(self._most_parts or 0), output=output)
            try:
                driver.send(task)
                yield from self._results(driver, output, parts, check)
                driver.dismiss()
                driver.join(_END_SECONDS)
            finally:
                driver.kill()

    def _results(
        self, driver: Child, output: IO[bytes], parts: Sequence[Any], check: Callable[[], object]
    ) -> Iterator[tuple[int, Any]]:
        """Give the driver parts as it wants them, and yield the result of each."""
        places = iter(range(len(parts)))
        results = 0
        while results < len(parts):
            message = self._receive(driver, output, check)
            match message:
                case (str(kind),) if kind == NEXT:
                    place = next(places, None)
                    driver.send(None if place is None else (place, bytes(ForkingPickler.dumps(parts[place]))))
                case (str(kind), int(place), bytes(raw)) if kind == DONE:
                    yield place, _result(raw, place, len(parts))
                    results += 1
                case (str(kind), int(place), str(how), bool(memory)) if kind == LOST:
                    raise lost_part(place, how, memory=memory)
                case (str(kind), str(why)) if kind == NO_CLUSTER:
                    raise Unavailable(f"`ray_address`: got {self._address}, where no cluster can be used: {why}")

    def _receive(self, driver: Child, output: IO[bytes], check: Callable[[], object]) -> Any:
        """Wait for what the driver says."""
        while not wait([driver.connection], timeout=CHECK_SECONDS):
            check()
        check()
        try:
            return driver.connection.recv()
        except (EOFError, OSError):
            status = driver.kill()
            output.seek(max(0, output.seek(0, SEEK_END) - _TAIL_BYTES))
            _log.error("ray_driver_died", status=status, output=output.read().decode(errors="replace"))
            raise Unavailable(
                f"`ray_address`: the cluster at {self._address} was lost in the middle of a run (its driver ended with "
                f"status {status})"
            ) from None


def _result(raw: bytes, place: int, parts: int) -> Any:
    kind, value = ForkingPickler.loads(raw)
    if kind == FAILED:
        raise noted(value, place, parts)
    return value
