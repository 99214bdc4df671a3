"""Authentication and authorisation of calls: signed tokens that carry a role, and the roles each service admits."""

from common.auth.caller import FORWARDED_PREFIX, Caller, caller_of, current_caller, forwarded, set_caller
from common.auth.callers import ANY_ROLE, OPEN, admitted_roles, is_between_processes
from common.auth.permissions import check_permission
from common.auth.policies import Decision, PolicySet, access_denied, check_policy, policy_set
from common.auth.resources import ANY_RESOURCE, Account, created_arn, resources_of
from common.auth.revocations import Revocations, Revoked
from common.auth.tokens import ROLES, Identity, TokenIssuer, TokenVerifier, generate_key_pair, is_account

__all__ = [
    "ANY_RESOURCE",
    "ANY_ROLE",
    "FORWARDED_PREFIX",
    "OPEN",
    "ROLES",
    "Account",
    "Caller",
    "Decision",
    "Identity",
    "PolicySet",
    "Revocations",
    "Revoked",
    "TokenIssuer",
    "TokenVerifier",
    "access_denied",
    "admitted_roles",
    "caller_of",
    "check_permission",
    "check_policy",
    "created_arn",
    "current_caller",
    "forwarded",
    "generate_key_pair",
    "is_account",
    "is_between_processes",
    "policy_set",
    "resources_of",
    "set_caller",
]
