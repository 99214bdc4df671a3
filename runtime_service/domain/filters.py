"""What a request may say of filters, promotions and metadata columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from common.arn import Arn, account_of
from common.avro import AvroSchema
from common.errors import InvalidInput, ResourceNotFound, invalid
from common.filters import Filter, Target

__all__ = [
    "MAX_RESULTS_WITH_METADATA",
    "NOT_TOLD_YET",
    "FilterChoice",
    "SentPromotion",
    "UnfitForSchema",
    "UnknownFilter",
    "check_filter",
    "check_metadata",
    "check_promotions",
    "unknown_filter",
]  # fmt: skip

#: Results at most, where each comes with columns.
MAX_RESULTS_WITH_METADATA: Final = 50
_MAX_COLUMNS: Final = 10
_ITEMS: Final = "ITEMS"
_PROMOTION_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_]{0,62}")


class UnknownFilter(ResourceNotFound):
    """A filter that this worker was not told of."""


class UnfitForSchema(InvalidInput):
    """Columns that the schemas do not have which this worker was told of."""

    @classmethod
    def of(cls, error: InvalidInput) -> UnfitForSchema:
        """Return an error that says the same, and may be raised: one that is raised again collects tracebacks."""
        return cls(error.message, violations=error.violations, metadata=error.metadata)


#: What may be otherwise by now: workers are told of it a moment after it was created.
NOT_TOLD_YET: Final = (UnknownFilter, UnfitForSchema)


@dataclass(frozen=True, slots=True)
class FilterChoice:
    """A filter that a request names.

    Attributes:
        arn: Of the filter.
        values: Of its parameters, as sent.
        field: The member of the request that names it.
    """

    arn: str
    values: Mapping[str, str]
    field: str = "filterArn"

    @classmethod
    def of(cls, arn: str, values: Mapping[str, str]) -> FilterChoice | None:
        """Return what a request says; None for no filter.

        Raises:
            InvalidInput: There are values without a filter.
        """
        if arn:
            return cls(arn, dict(values))
        if values:
            raise invalid("filterValues", got=sorted(values), want="none without a filterArn")
        return None


@dataclass(frozen=True, slots=True)
class SentPromotion:
    """A promotion as a request has it.

    Attributes:
        name: What promoted items carry.
        percent: Of the places; 0 where the request does not say.
        choice: The filter that promoted items pass.
    """

    name: str
    percent: int
    choice: FilterChoice


def check_filter(
    choice: FilterChoice, definition: Filter, *, target: Target, relates_items: bool, user_id: str
) -> None:
    """Check that a filter can be applied to a request.

    Args:
        choice: The filter, as the request names it.
        definition: What it says.
        target: What the operation returns.
        relates_items: Whether the recipe answers for an item.
        user_id: Of the request; empty for none.

    Raises:
        InvalidInput: It chooses something else, or needs an item or a user that the request does not have.
    """
    if definition.target is not target:
        want = f"a filter of {target}s; this one chooses {definition.target}s"
        raise invalid(choice.field, got=choice.arn, want=want)
    if definition.needs_item and not relates_items:
        want = "a filter without CurrentItem: the recipe that answers relates no items"
        raise invalid(choice.field, got=choice.arn, want=want)
    if definition.needs_user and not user_id:
        want = f"the id of a user: the filter {choice.arn} reads what the user did, or is"
        raise invalid("userId", got=user_id, want=want)


def unknown_filter(
    choice: FilterChoice, *, group_arn: str, filter_group_arn: str | None, account: str | None
) -> ResourceNotFound | InvalidInput:
    """Return the error for a filter that the dataset group of the request does not have.

    Args:
        choice: The filter, as the request names it.
        group_arn: Of the request.
        filter_group_arn: The group that has it; None where none has, as far as is known. That of the request where it
            is not in force yet.
        account: Of the caller; filters of other accounts do not exist for it, whatever the control plane has.

    Raises:
        InvalidInput: It is no ARN of a filter at all.
    """
    Arn.parse(choice.arn, field=choice.field, kind="filter")
    is_of_account = account_of(choice.arn) == account
    if is_of_account and filter_group_arn not in (None, group_arn):
        want = f"a filter of the campaign's dataset group; it is one of {filter_group_arn}"
        return invalid(choice.field, got=choice.arn, want=want)
    kind = UnknownFilter if is_of_account else ResourceNotFound
    return kind(
        f"Resource Arn {choice.arn} does not exist. A filter applies as soon as DescribeFilter shows it ACTIVE.",
        metadata={"filter_arn": choice.arn},
    )


def check_metadata(
    columns: Mapping[str, Sequence[str]], *, enabled: bool, schema: AvroSchema | None
) -> list[tuple[str, str]]:
    """Return the columns that a request wants beside each item: as it spells them, and as the schema does.

    Args:
        columns: By type of dataset.
        enabled: Whether the campaign returns metadata.
        schema: Of the items; None without such a dataset.

    Raises:
        InvalidInput: The campaign returns none, there are too many columns, or one that the items do not have.
    """
    if not any(columns.values()) and set(columns) <= {_ITEMS}:
        return []
    if not enabled:
        want = "none: the campaign or recommender has enableMetadataWithRecommendations false"
        raise invalid("metadataColumns", got=sorted(columns), want=want)
    if set(columns) != {_ITEMS}:
        raise invalid("metadataColumns", got=sorted(columns), want=f"columns of {_ITEMS} only")
    names = list(dict.fromkeys(columns[_ITEMS]))
    if len(names) > _MAX_COLUMNS:
        raise invalid(f"metadataColumns.{_ITEMS}", got=f"{len(names)} columns", want=f"at most {_MAX_COLUMNS}")
    if schema is None:
        want = "none: the dataset group has no Items dataset"
        raise UnfitForSchema.of(invalid(f"metadataColumns.{_ITEMS}", got=names, want=want))
    spelt = {field.name.lower(): field.name for field in schema.fields}
    for name in names:
        if name.lower() not in spelt:
            want = f"columns of the items' schema: {', '.join(spelt.values())[:500]}"
            raise UnfitForSchema.of(invalid(f"metadataColumns.{_ITEMS}", got=name, want=want))
    return [(name, spelt[name.lower()]) for name in names]


def check_promotions(promotions: Sequence[SentPromotion]) -> SentPromotion:
    """Return the promotion of a request, checked but for what its filter means.

    Raises:
        InvalidInput: There are several, or a member of it is missing, malformed or out of range.
    """
    if len(promotions) > 1:
        raise invalid("promotions", got=f"{len(promotions)} promotions", want="at most 1")
    (promotion,) = promotions
    if not _PROMOTION_NAME.fullmatch(promotion.name):
        want = "1 to 63 letters, digits, `-` and `_`, a letter or digit first"
        raise invalid("promotions[0].name", got=promotion.name, want=want)
    if not 1 <= promotion.percent <= 100:
        raise invalid("promotions[0].percentPromotedItems", got=promotion.percent, want="an integer from 1 to 100")
    if not promotion.choice.arn:
        raise invalid(promotion.choice.field, got=None, want="the ARN of the filter that promoted items pass")
    return promotion
