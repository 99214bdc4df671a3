"""Evaluates the filters that a request names, exactly, for its user and its item at this moment."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from common.auth import current_caller
from common.errors import InvalidInput
from common.filters import Dataset, Filter, RequestContext, Rows, Target, parse_filter_values
from common.filters.expression import Scalar
from inference.candidates import ItemList
from runtime_service.domain.filters import FilterChoice, check_filter, unknown_filter
from runtime_service.features.filter_table import FilterTable, Passing
from runtime_service.features.groups import GroupFeatures
from runtime_service.features.updater import FeatureUpdater
from runtime_service.history import HistoryReader
from runtime_service.serving.deployments import Deployment

__all__ = ["RequestFilters", "Situation"]

#: Tables with more rows are not compiled for on the event loop.
_INLINE_ROWS: Final = 200_000
_EVENTS: Final = frozenset({Dataset.INTERACTIONS, Dataset.ACTION_INTERACTIONS})
_DATASETS: Final[Mapping[Target, str]] = {Target.ITEM: "ITEMS", Target.ACTION: "ACTIONS"}


@dataclass(frozen=True, slots=True)
class Situation:
    """Of a request, what filters read.

    Attributes:
        deployment: What answers.
        target: What is returned.
        user_id: Empty for nobody.
        item_id: The current item; empty for none.
        listed: Items that the caller names; None for none.
    """

    deployment: Deployment
    target: Target
    user_id: str = ""
    item_id: str = ""
    listed: ItemList | None = None
    _spares: dict[str, int] = field(default_factory=dict)


class RequestFilters:
    """Evaluates filters; used on one event loop.

    Args:
        follower: Has features and filters.
        histories: What users did a moment ago.
    """

    def __init__(self, follower: FeatureUpdater, histories: HistoryReader) -> None:
        self._follower = follower
        self._histories = histories

    async def passing(self, choice: FilterChoice, situation: Situation) -> Passing:
        """Return what passes a filter.

        Raises:
            ResourceNotFound: There is no such filter.
            InvalidInput: It is one of another dataset group, does not fit the request or the schemas, or its values are
                wrong.
            Unavailable: Features that it reads are not loaded yet.
        """
        deployment = situation.deployment
        group = self._follower.find(deployment.assignment.dataset_group_arn)
        definition = None if group is None else group.meaning.filters.get(choice.arn)
        if group is None or definition is None:
            account = current_caller().account
            raise unknown_filter(choice, group_arn=self._follower.filter_group(choice.arn), account=account)
        if isinstance(definition, InvalidInput):
            raise definition
        check_filter(
            choice,
            definition,
            target=situation.target,
            relates_items=deployment.pipeline.needs_item,
            user_id=situation.user_id,
        )
        values = parse_filter_values(definition, choice.values)
        table = await self._follower.filter_table(deployment, _DATASETS[situation.target])
        part = table.kept_part(choice.arn, definition, values)
        if part is None:
            if table.table.n_rows <= _INLINE_ROWS:
                made = table.compiled(definition, values)
            else:
                made = await asyncio.to_thread(table.compiled, definition, values)
            part = table.keep_part(choice.arn, made)
        if not part.compiled.steps:
            return Passing(table, part, part.compiled.passing)
        context = self._context(definition, group, table, situation)
        return Passing(table, part, part.compiled.rows(context))

    def keep(self, passing: Passing, situation: Situation) -> ItemList:
        """Return those of the items that the caller names that pass."""
        assert situation.listed is not None
        return passing.keep(situation.listed, spares=passing.table.spares(situation.listed.unknown_ids))

    def _context(
        self, definition: Filter, group: GroupFeatures, table: FilterTable, situation: Situation
    ) -> RequestContext:
        events: dict[str, Rows] = {}
        if any(read.dataset in _EVENTS for read in definition.fields):
            events = self._events(table, situation)
        return RequestContext(
            events=events,
            user=self._user(definition, group, situation.user_id),
            current_item=table.feature_row(situation.item_id) if definition.needs_item else None,
        )

    def _events(self, table: FilterTable, situation: Situation) -> dict[str, Rows]:
        """Return the rows of what the user used, by event type: until the training, and since."""
        deployment, user_id = situation.deployment, situation.user_id
        model, is_of_items = deployment.model, situation.target is Target.ITEM
        recent = self._histories.find(
            deployment.assignment.dataset_group_arn,
            user_id,
            dataset_type="INTERACTIONS" if is_of_items else "ACTION_INTERACTIONS",
        )
        user = model.users.index(user_id)
        past = deployment.past_items(user) if is_of_items else deployment.past_actions(user)
        spares = table.spares(() if situation.listed is None else situation.listed.unknown_ids)
        return table.events(past, recent=() if recent is None else recent.events(), spares=spares)

    def _user(self, definition: Filter, group: GroupFeatures, user_id: str) -> Mapping[str, Sequence[Scalar]] | None:
        """Return the columns of the current user that a filter reads."""
        names = {condition.field.name for expression in definition.expressions for condition in expression.when}
        users = group.loaded_users() if names else None
        if users is None:
            return None
        arn = group.meaning.arn
        return users.values(user_id, sorted(names), find_put=lambda user: self._histories.find_put(arn, "USERS", user))
