"""What a request for recommendations must look like."""

from __future__ import annotations

from collections.abc import Sequence

from common.arn import Arn
from common.errors import InvalidInput, ResourceNotFound, invalid

__all__ = ["DEFAULT_RESULTS", "MAX_RESULTS", "check_user", "not_built", "results_wanted", "unknown_campaign"]

DEFAULT_RESULTS = 25
MAX_RESULTS = 500
_MAX_USER_ID = 256


def results_wanted(count: int | None) -> int:
    """Return how many results to give.

    Args:
        count: What the caller said; None for nothing. 0 is within Personalize's range and gives an empty list.

    Raises:
        InvalidInput: It is out of range.
    """
    if count is None:
        return DEFAULT_RESULTS
    if not 0 <= count <= MAX_RESULTS:
        raise invalid("numResults", got=count, want=f"an integer from 0 to {MAX_RESULTS}")
    return count


def check_user(user_id: str | None, *, required: bool) -> str:
    """Return the user id; empty when none was given and none is needed.

    Raises:
        InvalidInput: It is missing where the recipe needs it, or too long.
    """
    if not user_id:
        if required:
            raise invalid("userId", got=user_id, want="the id of a user: the campaign's recipe personalizes")
        return ""
    if len(user_id) > _MAX_USER_ID:
        raise invalid("userId", got=user_id, want=f"at most {_MAX_USER_ID} characters")
    return user_id


def not_built(members: Sequence[str]) -> InvalidInput:
    """Return the error for members of a request that belong to the API, but have no effect yet."""
    named = ", ".join(f"`{member}`" for member in members)
    return InvalidInput(f"{named}: got a value, want none: this part of GetRecommendations is not built yet")


def unknown_campaign(campaign_arn: str) -> ResourceNotFound:
    """Return the error for a campaign that is not served here.

    Raises:
        InvalidInput: It is no ARN of a campaign at all.
    """
    Arn.parse(campaign_arn, field="campaignArn", kind="campaign")
    return ResourceNotFound(
        f"`campaignArn`: got {campaign_arn}, want a campaign that exists and is ACTIVE",
        metadata={"campaign_arn": campaign_arn},
    )
