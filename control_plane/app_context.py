"""What all parts of the control plane need from outside: the clock, new ids, ARNs, the quotas."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from common.arn import ArnFactory
from common.clock import Clock
from control_plane.domain.quotas import Quotas

__all__ = ["AppContext", "random_id"]


def random_id() -> str:
    """Return 32 random hexadecimal digits."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class AppContext:
    """The clock, ids, ARNs and quotas, given to every part.

    Attributes:
        clock: Returns the current time.
        arns: Makes the ARNs of the region.
        quotas: How many resources of each kind there may be.
        new_id: Returns 32 hexadecimal digits, different ones in every call.
    """

    clock: Clock
    arns: ArnFactory
    quotas: Quotas = field(default_factory=Quotas)
    new_id: Callable[[], str] = random_id
