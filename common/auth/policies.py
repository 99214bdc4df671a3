"""Policies of access keys, in the JSON of AWS's IAM: which operations, on which resources.

A denial wins over every permission, and what nothing permits is denied. `Condition`, `Principal` and variables
(`${...}`) are rejected when a policy is read: to ignore one would permit more, or less, than the document says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from common.auth.wildcards import Wildcards
from common.errors import InvalidInput, PermissionDenied, invalid
from common.json_text import read_json

__all__ = ["ACTION_PREFIX", "MAX_DOCUMENT", "Decision", "PolicySet", "access_denied", "check_policy", "policy_set"]

#: Characters of one document; IAM's own limit.
MAX_DOCUMENT: Final = 6144
ACTION_PREFIX: Final = "personalize"
_VERSIONS: Final = ("2012-10-17", "2008-10-17")
_MAX_DEPTH: Final = 6
#: No ARN is longer; of what callers send, no more is looked at.
_MAX_RESOURCE: Final = 512
_ACTION: Final = re.compile(r"\*|[A-Za-z0-9\-]+:[A-Za-z0-9*?]+")
_RESOURCE: Final = re.compile(r"\*|arn:[^$]*")
_SID: Final = re.compile(r"[A-Za-z0-9]{0,128}")
_UNSUPPORTED: Final[Mapping[str, str]] = {
    "Condition": "no conditions: they are not evaluated here",
    "Principal": "no principal: the policy holds for the key that it is attached to",
    "NotPrincipal": "no principal: the policy holds for the key that it is attached to",
}


class Decision(StrEnum):
    """What policies say of one operation on one resource."""

    ALLOWED = "allowed"
    EXPLICIT_DENY = "explicitly denied"
    IMPLICIT_DENY = "implicitly denied"


@dataclass(frozen=True, slots=True)
class _Statement:
    allows: bool
    actions: Wildcards
    excludes_actions: bool
    resources: Wildcards
    excludes_resources: bool

    def applies(self, action: str, resource: str) -> bool:
        return (
            self.actions.match(action) is not self.excludes_actions
            and self.resources.match(resource) is not self.excludes_resources
        )


class PolicySet:
    """The policies of one key; decisions that were made before cost a dictionary lookup.

    Args:
        documents: JSON documents that `check_policy` returned.
    """

    def __init__(self, documents: Iterable[str]) -> None:
        self._statements = [statement for document in documents for statement in _statements(json.loads(document))]
        self._decide: Callable[[str, str], Decision] = lru_cache(maxsize=256)(self._evaluate)

    def decide(self, operation: str, resource: str) -> Decision:
        """Return what the policies say.

        Args:
            operation: As in the API, e.g. `CreateSolution`.
            resource: An ARN, or `*`.
        """
        return self._decide(operation, resource[:_MAX_RESOURCE])

    def _evaluate(self, operation: str, resource: str) -> Decision:
        # Names of actions count in any case, ARNs only as they are written.
        action = f"{ACTION_PREFIX}:{operation}".lower()
        applying = [statement for statement in self._statements if statement.applies(action, resource)]
        if any(not statement.allows for statement in applying):
            return Decision.EXPLICIT_DENY
        return Decision.ALLOWED if applying else Decision.IMPLICIT_DENY


@lru_cache(maxsize=1024)
def policy_set(documents: tuple[str, ...]) -> PolicySet:
    """Return policies, compiled once for all keys and tokens that have the same ones."""
    return PolicySet(documents)


def access_denied(decision: Decision, *, account: str, user: str, operation: str, resource: str) -> PermissionDenied:
    """Return the error for a denial, in AWS's words.

    Args:
        decision: One of the two denials.
        account: Account of the key, 12 digits.
        user: Name of the key.
        operation: As in the API.
        resource: An ARN, or `*`.
    """
    action = f"{ACTION_PREFIX}:{operation}"
    reason = (
        "with an explicit deny in an identity-based policy"
        if decision is Decision.EXPLICIT_DENY
        else f"because no identity-based policy allows the {action} action"
    )
    return PermissionDenied(
        f"User: arn:aws:iam::{account}:user/{user} is not authorized to perform: {action} on resource: "
        f"{resource[:_MAX_RESOURCE]} {reason}"
    )


def check_policy(text: str) -> str:
    """Check a policy document, and return it without white space.

    Raises:
        InvalidInput: It is not JSON, has an element that is unknown or not supported, or lacks one.
    """
    read_json(text, field="policy", max_length=4 * MAX_DOCUMENT, max_depth=_MAX_DEPTH)
    document = json.loads(text, object_pairs_hook=_object)
    compact = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    if len(compact) > MAX_DOCUMENT:
        raise invalid("policy", got=f"{len(compact)} characters", want=f"at most {MAX_DOCUMENT}, white space aside")
    for _ in _statements(document):
        pass
    return compact


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; a second value of one element would be read differently by different readers."""
    result = dict(pairs)
    if len(result) < len(pairs):
        raise invalid("policy", got="an element twice in one object", want="each at most once")
    return result


def _statements(document: Any) -> Iterable[_Statement]:
    _check_elements(document, "policy", allowed={"Version", "Id", "Statement"})
    if document.get("Version") not in (*_VERSIONS, None):
        raise invalid("policy.Version", got=document["Version"], want=" or ".join(_VERSIONS))
    if not isinstance(document.get("Id", ""), str):
        raise invalid("policy.Id", got=document["Id"], want="a string")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise invalid("policy.Statement", got=statements, want="one or several statements")
    for index, statement in enumerate(statements):
        yield _statement(statement, f"policy.Statement[{index}]")


def _statement(statement: Any, field: str) -> _Statement:
    _check_elements(statement, field, allowed={"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource"})
    sid, effect = statement.get("Sid", ""), statement.get("Effect")
    if not isinstance(sid, str) or _SID.fullmatch(sid) is None:
        raise invalid(f"{field}.Sid", got=sid, want="letters and digits")
    if effect not in ("Allow", "Deny"):
        raise invalid(f"{field}.Effect", got=effect, want="Allow or Deny")
    actions, excludes_actions = _patterns(statement, field, "Action", _ACTION, "SERVICE:NAME or *, with * and ?")
    resources, excludes_resources = _patterns(statement, field, "Resource", _RESOURCE, "* or ARNs, with * and ?")
    return _Statement(
        allows=effect == "Allow",
        actions=Wildcards(pattern.lower() for pattern in actions),
        excludes_actions=excludes_actions,
        resources=Wildcards(resources),
        excludes_resources=excludes_resources,
    )


def _patterns(
    statement: Mapping[str, Any], field: str, element: str, form: re.Pattern[str], want: str
) -> tuple[list[str], bool]:
    """Return an element's patterns, and whether they are those that are excluded (`NotAction`)."""
    names = [name for name in (element, f"Not{element}") if name in statement]
    if len(names) != 1:
        raise invalid(field, got=" and ".join(names) or "neither", want=f"one of {element} and Not{element}")
    value = statement[names[0]]
    patterns = [value] if isinstance(value, str) else value
    if not isinstance(patterns, list) or not patterns:
        raise invalid(f"{field}.{names[0]}", got=value, want=f"one or several of {want}")
    for pattern in patterns:
        if not isinstance(pattern, str) or form.fullmatch(pattern) is None:
            raise invalid(f"{field}.{names[0]}", got=pattern, want=want)
    return patterns, names[0] != element


def _check_elements(value: Any, field: str, *, allowed: set[str]) -> None:
    if not isinstance(value, dict):
        raise invalid(field, got=value, want="a JSON object")
    for name in value:
        if name in _UNSUPPORTED:
            raise InvalidInput(f"`{field}.{name}`: got one, want {_UNSUPPORTED[name]}")
        if name not in allowed:
            raise invalid(field, got=name, want=f"elements among {', '.join(sorted(allowed))}")
