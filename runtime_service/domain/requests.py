"""What a request for recommendations or for a ranking must look like."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

from common.arn import Arn
from common.columns import normalise_key
from common.errors import ResourceNotFound, Unavailable, invalid
from recipes.spec import RecipeSpec

__all__ = [
    "DEFAULT_ACTIONS",
    "DEFAULT_RESULTS",
    "MAX_ACTIONS",
    "MAX_RANKED",
    "MAX_RESULTS",
    "ServedKind",
    "check_context",
    "check_item",
    "check_items",
    "check_operation",
    "check_user",
    "requested_results",
    "served_arn",
    "unknown_target",
    "unready_target",
    "unserved_target",
]

DEFAULT_RESULTS = 25
MAX_RESULTS = 500
DEFAULT_ACTIONS = 5
MAX_ACTIONS = 100
_MAX_ID = 256
_MAX_CONTEXT = 150
_MAX_CONTEXT_NAME = 150
_MAX_CONTEXT_VALUE = 1000
_CONTEXT_NAME = re.compile(r"[A-Za-z\d_]+")
MAX_RANKED = 500


class ServedKind(StrEnum):
    """What a request may be for, spelt as in ARNs."""

    CAMPAIGN = "campaign"
    RECOMMENDER = "recommender"

    def marks(self, arn: str) -> bool:
        """Whether a text looks like an ARN of this kind: all that a request takes the time for."""
        return f":{self}/" in arn


def requested_results(count: int | None, *, default: int = DEFAULT_RESULTS, most: int = MAX_RESULTS) -> int:
    """Return how many results to give.

    Args:
        count: What the caller said; None for nothing. 0 is within Personalize's range and gives an empty list.
        default: For nothing.
        most: At most.

    Raises:
        InvalidInput: It is out of range.
    """
    if count is None:
        return default
    if not 0 <= count <= most:
        raise invalid("numResults", got=count, want=f"an integer from 0 to {most}")
    return count


def check_user(user_id: str | None, *, required: bool) -> str:
    """Return the user id; empty when none was given and none is needed.

    Raises:
        InvalidInput: It is missing where the recipe needs it, or too long.
    """
    if not user_id:
        if required:
            raise invalid("userId", got=user_id, want="the id of a user: the recipe that answers asks for one")
        return ""
    if len(user_id) > _MAX_ID:
        raise invalid("userId", got=user_id, want=f"at most {_MAX_ID} characters")
    return user_id


def check_context(context: Mapping[str, str], *, uses_context: bool, columns: Mapping[str, str]) -> Mapping[str, str]:
    """Return what a request says of its situation, by columns of the interactions.

    Args:
        context: As it was sent; keys are matched with columns as those of an event's properties are.
        uses_context: Whether the recipe learns from context.
        columns: Those that the model knows, by their plain names.

    Raises:
        InvalidInput: There is too much, a name or a value is malformed, the recipe does not learn from any, or the
            model does not know a name.
    """
    if not context:
        return context
    if not uses_context:
        raise invalid("context", got=dict(context), want="none: the campaign's recipe does not learn from context")
    if len(context) > _MAX_CONTEXT:
        raise invalid("context", got=f"{len(context)} entries", want=f"at most {_MAX_CONTEXT}")
    values: dict[str, str] = {}
    for name, value in context.items():
        if not (len(name) <= _MAX_CONTEXT_NAME and _CONTEXT_NAME.fullmatch(name)):
            raise invalid("context", got=name, want=f"names of 1 to {_MAX_CONTEXT_NAME} letters, digits and _")
        if len(value) > _MAX_CONTEXT_VALUE:
            raise invalid(f"context.{name}", got=value, want=f"at most {_MAX_CONTEXT_VALUE} characters")
        column = columns.get(normalise_key(name))
        if column is None:
            names = f"one of {', '.join(sorted(columns.values()))}" if columns else "none"
            raise invalid("context", got=name, want=f"{names}: what the campaign's model has learnt from")
        if column in values:
            raise invalid("context", got=name, want=f"{column} once, in one spelling")
        values[column] = value
    return values


def check_item(item_id: str) -> str:
    """Return the item that others are to be related to.

    Raises:
        InvalidInput: It is missing or too long.
    """
    if not item_id:
        raise invalid("itemId", got=item_id, want="the id of an item: the recipe that answers relates items")
    if len(item_id) > _MAX_ID:
        raise invalid("itemId", got=item_id, want=f"at most {_MAX_ID} characters")
    return item_id


def check_items(item_ids: Sequence[str], *, most: int = MAX_RANKED) -> list[str]:
    """Return the items to rank, `most` at most, each once, where it was named first.

    Raises:
        InvalidInput: There are none or too many, or one is empty or too long.
    """
    if not 1 <= len(item_ids) <= most:
        raise invalid("inputList", got=len(item_ids), want=f"the ids of 1 to {most} items")
    for place, item_id in enumerate(item_ids):
        if not 1 <= len(item_id) <= _MAX_ID:
            raise invalid(f"inputList[{place}]", got=item_id, want=f"1 to {_MAX_ID} characters")
    return list(dict.fromkeys(item_ids))


def check_operation(operation: str, *, campaign_arn: str, recipe: RecipeSpec) -> None:
    """Check that a campaign is called by the operation that serves its recipe.

    Args:
        operation: Of the call.
        campaign_arn: The campaign.
        recipe: Its recipe.

    Raises:
        InvalidInput: Another operation does.
    """
    right = recipe.kind.operation
    if right != operation:
        raise invalid(
            "campaignArn",
            got=campaign_arn,
            want=f"a campaign that {operation} answers for; this one's recipe is {recipe.name}: call {right}",
        )


def served_arn(campaign_arn: str, recommender_arn: str | None) -> tuple[ServedKind, str]:
    """Return the kind and the ARN of what a request is for.

    Args:
        campaign_arn: ARN of the campaign; empty for none.
        recommender_arn: ARN of the recommender; empty for none, None of operations that recommenders do not answer.

    Raises:
        InvalidInput: It names neither a campaign nor a recommender, or both.
    """
    if campaign_arn and recommender_arn:
        raise invalid("recommenderArn", got=recommender_arn, want="none beside a campaignArn")
    if recommender_arn:
        return ServedKind.RECOMMENDER, recommender_arn
    if not campaign_arn:
        raise invalid(
            "campaignArn",
            got=campaign_arn,
            want=f"the ARN of a campaign{'' if recommender_arn is None else ', or a recommenderArn'}",
        )
    return ServedKind.CAMPAIGN, campaign_arn


def unknown_target(kind: ServedKind, arn: str) -> ResourceNotFound:
    """Return the error for what is not served here, in Personalize's own words first, which callers match.

    Raises:
        InvalidInput: It is no ARN of its kind at all.
    """
    Arn.parse(arn, field=f"{kind}Arn", kind=kind)
    name = kind.capitalize()
    return ResourceNotFound(
        f"Resource Arn {arn} does not exist. A {kind} answers as soon as Describe{name} shows it ACTIVE.",
        metadata={f"{kind}_arn": arn},
    )


def unready_target(kind: ServedKind, arn: str) -> Unavailable:
    """Return the error for what may be served here in a moment, to a caller who asks too early.

    Raises:
        InvalidInput: It is no ARN of its kind at all.
    """
    Arn.parse(arn, field=f"{kind}Arn", kind=kind)
    return Unavailable(
        f"`{kind}Arn`: got {arn}, which is being created, or which this runtime was not told of yet, want one that "
        f"Describe{kind.capitalize()} shows ACTIVE; call again in a moment",
        metadata={f"{kind}_arn": arn},
    )


def unserved_target(kind: ServedKind, arn: str) -> Unavailable:
    """Return the error for what is ACTIVE and what this worker cannot serve at the moment."""
    return Unavailable(
        f"`{kind}Arn`: got {arn}, which is ACTIVE and could not be loaded here yet; it is tried again, so "
        f"call again, and see the failureReason of Describe{kind.capitalize()}",
        metadata={f"{kind}_arn": arn},
    )
