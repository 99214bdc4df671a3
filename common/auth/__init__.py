"""Authentication and authorisation of calls: signed tokens that carry a role, and the roles each service admits."""

from common.auth.callers import ANY_ROLE, OPEN, admitted_roles
from common.auth.revocations import Revocations, Revoked
from common.auth.tokens import ROLES, Identity, TokenIssuer, TokenVerifier, generate_key_pair

__all__ = [
    "ANY_ROLE",
    "OPEN",
    "ROLES",
    "Identity",
    "Revocations",
    "Revoked",
    "TokenIssuer",
    "TokenVerifier",
    "admitted_roles",
    "generate_key_pair",
]
