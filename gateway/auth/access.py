"""What callers may do once their signatures are proven, and the record of what they did."""

from __future__ import annotations

from google.protobuf.message import Message

from common.access_keys import AccessKey
from common.arn import DEFAULT_ACCOUNT, DEFAULT_REGION, ArnFactory
from common.audit import AuditedCall, is_audited
from common.auth import ANY_RESOURCE, Account, Caller, check_permission, resources_of

__all__ = ["Access"]

_ROLE = "gateway"


class Access:
    """The permissions of access keys, in their accounts.

    Args:
        account: The installation's own account, of keys that name none.
        region: Region in ARNs.
        audit_puts: Whether calls that put events, items, users and actions are audited.
    """

    def __init__(
        self, *, account: str = DEFAULT_ACCOUNT, region: str = DEFAULT_REGION, audit_puts: bool = True
    ) -> None:
        self._audit_puts = audit_puts
        self._own_account = account
        self._arns = ArnFactory(region)

    @staticmethod
    def caller(key: AccessKey) -> Caller:
        """Return a key's owner as services see it."""
        return Caller(_ROLE, key.access_key_id, key.account)

    def authorize(self, key: AccessKey, operation: str, request: Message) -> None:
        """Check that the policies of a key permit a call.

        Raises:
            PermissionDenied: They do not.
        """
        if key.policies:
            check_permission(
                tuple(key.policies.values()),
                user=key.name,
                operation=operation,
                request=request,
                account=self._account(key),
            )

    def audited(self, key: AccessKey, operation: str, request: Message | None, *, peer: str) -> AuditedCall | None:
        """Return a call for the audit log; None when it does not belong there.

        Args:
            key: Whose signature was proven.
            operation: As in the API.
            request: The call's message; None when its body could not be decoded.
            peer: Address that the connection comes from.
        """
        if not is_audited(operation, puts=self._audit_puts):
            return None
        account = self._account(key)
        resource = ANY_RESOURCE if request is None else resources_of(operation, request, account)[0]
        return AuditedCall(operation, account.account, key.access_key_id, _ROLE, peer, resource)

    def _account(self, key: AccessKey) -> Account:
        return Account(key.account or self._own_account, self._arns)
