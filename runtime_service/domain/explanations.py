"""What a request for an explanation must look like, and why an item is missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.errors import ResourceNotFound, invalid

__all__ = ["check_alone", "check_explained_ids", "requested_contributions", "unknown_answer"]

_MAX_EXPLAINED, _MAX_ID = 25, 256
_DEFAULT_CONTRIBUTIONS, _MAX_CONTRIBUTIONS = 3, 10


def requested_contributions(count: int | None) -> int:
    """Return how many items of the history to return for each result at most.

    Args:
        count: What the caller said; None for nothing.

    Raises:
        InvalidInput: It is out of range.
    """
    if count is None:
        return _DEFAULT_CONTRIBUTIONS
    if not 0 <= count <= _MAX_CONTRIBUTIONS:
        raise invalid("numContributions", got=count, want=f"an integer from 0 to {_MAX_CONTRIBUTIONS}")
    return count


def check_explained_ids(ids: Sequence[str]) -> list[str]:
    """Return the ids to explain beside those of the list, each once.

    Raises:
        InvalidInput: There are too many, or one is empty or too long.
    """
    if len(ids) > _MAX_EXPLAINED:
        raise invalid("explainedIds", got=len(ids), want=f"at most {_MAX_EXPLAINED}")
    for place, identifier in enumerate(ids):
        if not 1 <= len(identifier) <= _MAX_ID:
            raise invalid(f"explainedIds[{place}]", got=identifier, want=f"1 to {_MAX_ID} characters")
    return list(dict.fromkeys(ids))


def check_alone(sent: Mapping[str, bool]) -> None:
    """Check that a request that names an answer says nothing of what that was an answer to.

    Args:
        sent: By member whether it was sent.

    Raises:
        InvalidInput: One was.
    """
    for member, is_sent in sent.items():
        if is_sent:
            raise invalid(member, got="a value", want="none beside a recommendationId: what was asked is known")


def unknown_answer(recommendation_id: str, arn: str) -> ResourceNotFound:
    """Return the error for an answer that was not recorded here, or not of this campaign."""
    return ResourceNotFound(
        f"`recommendationId`: got {recommendation_id[:64]!r}, which is none of the answers for {arn} this host keeps, "
        "want one of a moment ago: it may be too old, or another host's. A request can be explained in its place: send "
        "userId and so on without a recommendationId.",
        metadata={"recommendation_id": recommendation_id[:64]},
    )
