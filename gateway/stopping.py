"""An orderly stop: health tells of it first, calls are served until they are over, then connections close."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

__all__ = ["Stop"]


@dataclass(frozen=True, slots=True)
class Stop:
    """The stop of one process, which the server begins and everybody sees.

    Attributes:
        grace_seconds: Time that running calls get.
        drain_seconds: Time before it, in which new calls are served still, so that proxies can go elsewhere.
        begun: Set when it has begun.
    """

    grace_seconds: float
    drain_seconds: float = 0.0
    begun: threading.Event = field(default_factory=threading.Event)
