"""What a key, or a token of one, may do: the one check of the gateway and of the services."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import Message

from common.auth.policies import Decision, access_denied, policy_set
from common.auth.resources import Account, resources_of

__all__ = ["check_permission"]


def check_permission(policies: Sequence[str], *, user: str, operation: str, request: Message, account: Account) -> None:
    """Check that policies permit a call, on each of the resources that it needs permission for.

    Args:
        policies: Documents of the key; none permits everything.
        user: Name of the key.
        operation: As in the API.
        request: The call's message.
        account: The caller's.

    Raises:
        PermissionDenied: One of the policies denies the call, or none permits it.
    """
    if not policies:
        return
    compiled = policy_set(tuple(policies))
    for resource in resources_of(operation, request, account):
        decision = compiled.decide(operation, resource)
        if decision is not Decision.ALLOWED:
            raise access_denied(decision, account=account.account, user=user, operation=operation, resource=resource)
