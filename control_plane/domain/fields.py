"""Checks of single fields: names, ARNs of roles and keys, page sizes, tags.

Each takes the field's name as the caller writes it and raises InvalidInput in the house form.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from common.errors import (
    FieldViolation,
    InvalidInput,
    ResourceAlreadyExists,
    ResourceNotFound,
    TooManyTagKeys,
    TooManyTags,
    invalid,
)

__all__ = [
    "MAX_TAGS",
    "already_exists",
    "check_kms_key",
    "check_name",
    "check_page_size",
    "check_role",
    "check_tag_keys",
    "check_tags",
    "does_not_exist",
    "merge_tags",
    "not_built",
    "required",
]

MAX_TAGS: Final = 50
_MAX_TAGS_PER_CALL: Final = 200
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_]*")
_ROLE = re.compile(r"arn:([a-z\d-]+):iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-/]+")
_KEY = re.compile(r"arn:aws.*:kms:.*:[0-9]{12}:key/.*")
_TAG_PUNCTUATION = frozenset("_.:/=+-@")


def required(field: str, value: str) -> str:
    """Return the value of a required text field.

    Raises:
        InvalidInput: It is empty or was not sent.
    """
    if not value:
        raise invalid(field, got=value, want="a value: the field is required")
    return value


def check_name(field: str, value: str) -> str:
    """Return a resource's name.

    Raises:
        InvalidInput: It is not 1 to 63 letters, digits, `-` or `_`, beginning with a letter or digit.
    """
    if not (len(value) <= 63 and _NAME.fullmatch(value)):
        raise invalid(field, got=value, want="1 to 63 letters, digits, - or _, the first a letter or digit")
    return value


def check_role(field: str, value: str) -> str:
    """Return the ARN of an IAM role, which is stored and shown but not used.

    Raises:
        InvalidInput: It does not look like one.
    """
    if not (len(value) <= 256 and _ROLE.fullmatch(value)):
        raise invalid(field, got=value, want="the ARN of a role (arn:aws:iam::ACCOUNT:role/NAME), or none")
    return value


def check_kms_key(field: str, value: str) -> str:
    """Return the ARN of a key.

    Raises:
        InvalidInput: It does not look like one.
    """
    if not (len(value) <= 2048 and _KEY.fullmatch(value)):
        raise invalid(field, got=value, want="the ARN of a KMS key, or none")
    return value


def check_page_size(value: int | None) -> int:
    """Return the number of entries of a page: 1 to 100, and 100 when the request has none.

    Raises:
        InvalidInput: Out of range.
    """
    if value is None:
        return 100
    if not 1 <= value <= 100:
        raise invalid("maxResults", got=value, want="an integer from 1 to 100")
    return value


def check_tags(tags: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return tags as a mapping.

    Raises:
        TooManyTags: More than a resource can carry.
        InvalidInput: A key or value is malformed, or a key comes twice.
    """
    if len(tags) > MAX_TAGS:
        raise TooManyTags(f"`tags`: got {len(tags)}, want at most {MAX_TAGS} on a resource")
    checked: dict[str, str] = {}
    for key, value in tags:
        _check_tag_text("tagKey", key, shortest=1, longest=128)
        _check_tag_text("tagValue", value, shortest=0, longest=256)
        if key.lower().startswith("aws:"):
            raise invalid("tagKey", got=key, want="a key that does not begin with aws:")
        if key in checked:
            raise invalid("tagKey", got=key, want="every key once")
        checked[key] = value
    return checked


def check_tag_keys(keys: Sequence[str]) -> list[str]:
    """Return the keys of tags to be removed.

    Raises:
        TooManyTagKeys: More than one call may name.
        InvalidInput: A key is malformed.
    """
    if len(keys) > _MAX_TAGS_PER_CALL:
        raise TooManyTagKeys(f"`tagKeys`: got {len(keys)}, want at most {_MAX_TAGS_PER_CALL}")
    for key in keys:
        _check_tag_text("tagKeys", key, shortest=1, longest=128)
    return list(keys)


def merge_tags(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a resource after a TagResource call.

    Raises:
        TooManyTags: Together they are more than a resource can carry.
    """
    merged = {**old, **new}
    if len(merged) > MAX_TAGS:
        raise TooManyTags(f"`tags`: got {len(merged)} together with those already there, want at most {MAX_TAGS}")
    return merged


def not_built(field: str, *, got: object, want: str) -> InvalidInput:
    """Build the error for a request that Personalize accepts and Tailorbird does not support yet."""
    return invalid(field, got=got, want=f"{want}; anything else is part of the API but not built yet")


def already_exists(arn: str, extra: str = "") -> ResourceAlreadyExists:
    """Build the error for a name that is taken; Personalize's own wording, which callers match.

    Args:
        arn: ARN of the existing resource.
        extra: A sentence for cases that the ARN alone does not explain.
    """
    message = f"Another resource with Arn {arn} already exists."
    return ResourceAlreadyExists(f"{message} {extra}" if extra else message, metadata={"arn": arn})


def does_not_exist(arn: str, *, field: str, extra: str = "") -> ResourceNotFound:
    """Build the error for a resource that does not exist; Personalize's own wording, which callers match.

    Args:
        arn: The ARN in the request.
        field: Member of the request that holds it.
        extra: A sentence that names existing resources.
    """
    message = f"Resource Arn {arn} does not exist."
    return ResourceNotFound(
        f"{message} {extra}" if extra else message,
        violations=[FieldViolation(field, "want the ARN of a resource that exists")],
        metadata={"arn": arn},
    )


def _check_tag_text(field: str, text: str, *, shortest: int, longest: int) -> None:
    allowed = all(sign in _TAG_PUNCTUATION or unicodedata.category(sign)[0] in "LZN" for sign in text)
    if not (shortest <= len(text) <= longest and allowed):
        raise invalid(field, got=text, want=f"{shortest} to {longest} letters, digits, spaces or any of _.:/=+-@")
