"""The audit log: one line for each call of an outsider that changes something, without anything that the call carries.

The gateway writes it for calls of AWS clients, services for calls that clients and operators make to them directly, and
nobody for those that our own processes make to one another.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Final

from common.arn import MAX_LENGTH
from common.logs import get_logger

__all__ = ["LOGGER_NAME", "AuditedCall", "is_audited", "is_mutating"]

LOGGER_NAME: Final = "tailorbird.audit"
#: An ARN of this service with a name as resources have them.
_NAMED: Final = re.compile(r"arn:[a-z\-]+:personalize:[a-z0-9\-]*:[0-9]*:[a-z\-]+/[A-Za-z0-9\-_/$]+")
_MUTATING: Final = ("Create", "Update", "Delete", "Start", "Stop", "Put", "Tag", "Untag")

_log = get_logger(LOGGER_NAME)
# Written whatever the level of the other logs is.
logging.getLogger(LOGGER_NAME).setLevel(logging.INFO)


def is_mutating(operation: str) -> bool:
    """Return whether an operation changes something, by the verb that its name begins with."""
    return operation.startswith(_MUTATING)


def is_audited(operation: str, *, puts: bool) -> bool:
    """Return whether a call of an operation belongs into the audit log.

    Args:
        operation: As in the API.
        puts: Whether the calls that put events, items, users and actions do: there may be thousands each second.
    """
    return is_mutating(operation) and (puts or not operation.startswith("Put"))


@dataclass(frozen=True, slots=True)
class AuditedCall:
    """A call that changes something.

    Attributes:
        operation: As in the API.
        account: Account of the caller, 12 digits.
        subject: Access key id of the caller, or subject of its token.
        role: `gateway` for AWS clients, else the role of the token.
        peer: Address that the connection comes from, which a client cannot choose as it can a header.
        resource: ARN that the call is about, or `*`.
    """

    operation: str
    account: str
    subject: str
    role: str
    peer: str
    resource: str

    def record(self, outcome: str, *, resource: str | None = None) -> None:
        """Write the line.

        Args:
            outcome: `OK`, or the reason of the error.
            resource: What was made, once that is known.
        """
        _log.info(
            "audit",
            logger=LOGGER_NAME,
            operation=self.operation,
            account=self.account,
            subject=self.subject,
            role=self.role,
            peer=self.peer,
            resource=_shown(resource or self.resource),
            outcome=outcome,
        )


def _shown(resource: str) -> str:
    """Return an ARN whose name could be one; `*` for any other text, since a caller chose it."""
    return resource if len(resource) <= MAX_LENGTH and _NAMED.fullmatch(resource) else "*"
