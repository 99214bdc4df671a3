"""Asks processes for their figures: all at once, each within a bounded time, and none can keep the others waiting."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from common.errors import invalid

__all__ = ["Scrape", "parse_targets", "scrape_all"]

#: The figures of one process are a few hundred kilobytes at most.
_MAX_BYTES: Final = 16 * 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Scrape:
    """The figures of one process, or why there are none.

    Attributes:
        process: Its name, or its address where it has none.
        at_seconds: When it was asked, on a clock that never goes back.
        samples: Values by name and labels, each label as (name, value).
        error: Why there are none; empty where there are.
    """

    process: str
    at_seconds: float
    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float] = field(default_factory=dict)
    error: str = ""

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a figure over all labels but these, 0 where there is none."""
        wanted_labels = labels.items()
        return sum(
            value
            for (sample, has), value in self.samples.items()
            if sample == name and wanted_labels <= dict(has).items()
        )


def parse_targets(text: str) -> dict[str, str]:
    """Return addresses by the names of processes, of `[NAME=]HOST:PORT,...`.

    Raises:
        InvalidInput: It is not that.
    """
    targets = {}
    for part in text.split(","):
        name, _, address = part.strip().rpartition("=")
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise invalid("metrics", got=part, want="[NAME=]HOST:PORT, several separated by commas")
        targets[name or address] = address
    return targets


def scrape_all(targets: Mapping[str, str], *, seconds: float) -> list[Scrape]:
    """Return the figures of all processes.

    Args:
        targets: `host:port` by the name of the process.
        seconds: How long one may take.
    """
    with ThreadPoolExecutor(max(1, len(targets))) as threads:
        return list(threads.map(lambda item: _scrape(*item, seconds=seconds), targets.items()))


def _scrape(process: str, address: str, *, seconds: float) -> Scrape:
    host, _, port = address.rpartition(":")
    began = time.monotonic()
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=seconds)
    try:
        connection.request("GET", "/metrics", headers={"Connection": "close"})
        response = connection.getresponse()
        if response.status != http.client.OK:
            return Scrape(process, began, error=f"HTTP {response.status}")
        text = _read(response, until=began + seconds).decode()
        return Scrape(process, began, _samples(text))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Scrape(process, began, error=str(error) or type(error).__name__)
    finally:
        connection.close()


def _read(response: http.client.HTTPResponse, *, until: float) -> bytes:
    """Return the body of a response that comes in time, whoever sends it."""
    parts: list[bytes] = []
    while part := response.read1(_CHUNK_BYTES):
        parts.append(part)
        if time.monotonic() > until or len(parts) * _CHUNK_BYTES > _MAX_BYTES:
            raise TimeoutError("too slow, or too long")
    return b"".join(parts)


def _samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    # Other commands, which import this too, start sooner without it.
    from prometheus_client.parser import text_string_to_metric_families

    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
