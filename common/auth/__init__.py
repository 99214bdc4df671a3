"""Authentication and authorisation of calls: signed tokens that carry a role, and the roles each service admits."""

from common.auth.caller import Caller, caller_of, current_caller, forwarded, set_caller
from common.auth.callers import ANY_ROLE, OPEN, admitted_roles
from common.auth.revocations import Revocations, Revoked
from common.auth.tokens import ROLES, Identity, TokenIssuer, TokenVerifier, generate_key_pair, is_account

__all__ = [
    "ANY_ROLE",
    "OPEN",
    "ROLES",
    "Caller",
    "Identity",
    "Revocations",
    "Revoked",
    "TokenIssuer",
    "TokenVerifier",
    "admitted_roles",
    "caller_of",
    "current_caller",
    "forwarded",
    "generate_key_pair",
    "is_account",
    "set_caller",
]
