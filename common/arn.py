"""Amazon Resource Names: the resource names of the whole system."""

from __future__ import annotations

import re
from dataclasses import dataclass

from common.errors import invalid

__all__ = ["DEFAULT_ACCOUNT", "DEFAULT_REGION", "Arn", "ArnFactory", "account_of"]

#: Of an installation whose settings name no others.
DEFAULT_ACCOUNT = "000000000000"
DEFAULT_REGION = "us-east-1"

_PATTERN = re.compile(r"arn:([a-z\-]+):personalize:([a-z0-9\-]*):([0-9]*):([a-zA-Z\-]+)/(.{1,200})")
MAX_LENGTH = 256


@dataclass(frozen=True, slots=True)
class Arn:
    """A parsed ARN of this service, e.g. `arn:aws:personalize:us-east-1:000000000000:campaign/films`.

    Recipes, algorithms and feature transformations are global: their region and account are empty.
    """

    region: str
    account: str
    kind: str
    name: str
    partition: str = "aws"

    def __str__(self) -> str:
        return f"arn:{self.partition}:personalize:{self.region}:{self.account}:{self.kind}/{self.name}"

    @classmethod
    def parse(cls, text: str, *, field: str, kind: str | None = None) -> Arn:
        """Parse an ARN.

        Args:
            text: What the caller sent.
            field: Name of the request's member, for the error.
            kind: The expected kind of resource, e.g. `campaign`; None accepts every kind.

        Raises:
            InvalidInput: It is not an ARN of this service, or has another kind.
        """
        match = _PATTERN.fullmatch(text) if len(text) <= MAX_LENGTH else None
        kind_text = f"an ARN of a {kind}" if kind else "an ARN of this service"
        if match is None or (kind is not None and match[4] != kind):
            raise invalid(
                field, got=text, want=f"{kind_text} (arn:aws:personalize:REGION:ACCOUNT:{kind or 'KIND'}/NAME)"
            )
        return cls(partition=match[1], region=match[2], account=match[3], kind=match[4], name=match[5])


@dataclass(frozen=True, slots=True)
class ArnFactory:
    """Makes the ARNs of one region."""

    region: str

    def make(self, kind: str, name: str, *, account: str) -> str:
        """Return the ARN of a resource of an account."""
        return str(Arn(region=self.region, account=account, kind=kind, name=name))

    @staticmethod
    def make_global(kind: str, name: str) -> str:
        """Return the ARN of a resource that belongs to no account, such as a recipe."""
        return str(Arn(region="", account="", kind=kind, name=name))


def account_of(arn: str) -> str | None:
    """Return the account in the text of an ARN; None when the text is too short for one."""
    parts = arn.split(":", 5)
    return parts[4] if len(parts) == 6 else None
