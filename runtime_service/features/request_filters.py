"""Evaluates the filters that a request names, exactly, for its user and its item at this moment."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from common.auth import current_caller
from common.errors import InvalidInput
from common.filters import Dataset, Filter, Target, event_key
from common.filters.expression import Scalar
from common.logs import get_logger
from common.telemetry import span
from inference.candidates import ItemList
from inference.filter_table import FilterTable, Passing, StaticPart
from inference.filtering import evaluate
from inference.recent_events import RecentHistory
from inference.used_items import EventWindow, left_out_items
from recipes.data.histories import ItemIndexes
from runtime_service.domain.filters import FilterChoice, UnfitForSchema, check_filter, unknown_filter
from runtime_service.features.groups import GroupFeatures
from runtime_service.features.updater import FeatureUpdater
from runtime_service.features.user_events import UserEvents
from runtime_service.history import HistoryReader
from runtime_service.serving.deployments import Deployment

__all__ = ["RequestFilters", "Situation"]

_log = get_logger(__name__)
#: Tables with more rows are not compiled for on the event loop.
_INLINE_ROWS: Final = 200_000
_NO_ITEMS: Final = np.empty(0, np.int32)
_DATASETS: Final[Mapping[Target, str]] = {Target.ITEM: "ITEMS", Target.ACTION: "ACTIONS"}


@dataclass(slots=True)  # not frozen, which takes several times as long to make
class Situation:
    """Of a request, what filters read.

    Attributes:
        deployment: What answers.
        target: What is returned.
        user_id: Empty for nobody.
        item_id: The current item; empty for none.
        listed: Items that the caller names; None for none.
        recent: By type of dataset the user's recent events that filters have looked up: the rest of the request reads
            the same, and each is parsed once.
    """

    deployment: Deployment
    target: Target
    user_id: str = ""
    item_id: str = ""
    listed: ItemList | None = None
    recent: dict[str, RecentHistory | None] = field(default_factory=dict)


class RequestFilters:
    """Evaluates filters; used on one event loop.

    Args:
        follower: Has features and filters.
        histories: What users did a moment ago.
        window: How much of what users did counts.
    """

    def __init__(self, follower: FeatureUpdater, histories: HistoryReader, *, window: EventWindow) -> None:
        self._follower = follower
        self._histories = histories
        self._events = UserEvents(histories, window)
        #: What makes searches, referenced from here until it ends; one at a time, as each takes a core and memory.
        self._searches: set[asyncio.Task[None]] = set()
        self._searching = asyncio.Semaphore(1)

    async def passing(self, choice: FilterChoice, situation: Situation) -> Passing:
        """Return what passes a filter.

        Raises:
            ResourceNotFound: There is no such filter.
            InvalidInput: It is one of another dataset group, does not fit the request or the schemas, or its values are
                wrong.
            Unavailable: Features that it reads are not loaded yet.
        """
        with span("filters"):
            return await self._passing(choice, situation)

    async def _passing(self, choice: FilterChoice, situation: Situation) -> Passing:
        deployment = situation.deployment
        group = self._follower.find(deployment.assignment.dataset_group_arn)
        definition = None if group is None else group.meaning.filters.get(choice.arn)
        if group is None or definition is None:
            raise unknown_filter(
                choice,
                group_arn=deployment.assignment.dataset_group_arn,
                filter_group_arn=self._follower.filter_group(choice.arn),
                account=current_caller().account,
            )
        if isinstance(definition, InvalidInput):
            raise UnfitForSchema.of(definition)
        check_filter(
            choice,
            definition,
            target=situation.target,
            relates_items=deployment.pipeline.needs_item,
            user_id=situation.user_id,
        )
        table = await self._follower.filter_table(deployment, _DATASETS[situation.target])
        return evaluate(
            table,
            await self._part(table, choice, definition),
            used=lambda types: self._events.find(
                deployment, situation.user_id, target=situation.target, types=types, seen=situation.recent
            ),
            user=lambda names: self._user(group, situation.user_id, names),
            item_id=situation.item_id,
            unknown_ids=() if situation.listed is None else situation.listed.unknown_ids,
        )

    async def _part(self, table: FilterTable, choice: FilterChoice, definition: Filter) -> StaticPart:
        """Return what of a filter does not depend on the request; no request waits for a search of what passes."""
        part = table.kept_part(choice.arn, definition, choice.values)
        if part is not None:
            if table.may_be_searched(choice.arn, part):
                task = asyncio.create_task(self._search(table, choice.arn, part))
                self._searches.add(task)
                task.add_done_callback(self._searches.discard)
            return part
        if table.table.n_rows <= _INLINE_ROWS:
            return table.keep_part(choice.arn, table.compiled(definition, choice.values))
        made = await asyncio.to_thread(table.compiled, definition, choice.values)
        # Another request may have been faster, and what it kept may have its search by now.
        return table.kept_part(choice.arn, definition, choice.values) or table.keep_part(choice.arn, made)

    async def _search(self, table: FilterTable, filter_arn: str, part: StaticPart) -> None:
        """Make the search of what passes, for the requests to come."""
        try:
            async with self._searching:
                searched = await asyncio.to_thread(table.searched, part)
        except Exception as error:  # noqa: BLE001 -- requests are answered without it, as before
            _log.error("filter_search_not_made", filter_arn=filter_arn, exc_info=error)
        else:
            table.keep_searched(filter_arn, part, searched)

    def left_out(self, situation: Situation) -> ItemIndexes:
        """Return the items that the recipe itself leaves out of what a user gets: int32 [k], ascending.

        Personalize's automatic filters of use cases: what the user has bought, or watched.
        """
        deployment, user_id = situation.deployment, situation.user_id
        event_type = deployment.model.recipe.left_out_event_type
        if event_type is None or not user_id:
            return _NO_ITEMS
        types = frozenset({event_key(Dataset.INTERACTIONS, event_type)})
        used = self._events.find(deployment, user_id, target=Target.ITEM, types=types, seen=situation.recent)
        return left_out_items(deployment.model, used)

    def keep(self, passing: Passing, situation: Situation) -> ItemList:
        """Return those of the items that the caller names that pass."""
        assert situation.listed is not None
        return passing.keep(situation.listed, spares=passing.table.spares(situation.listed.unknown_ids))

    def _user(self, group: GroupFeatures, user_id: str, names: Sequence[str]) -> Mapping[str, Sequence[Scalar]] | None:
        """Return the columns of the current user that a filter reads."""
        users = group.loaded_users()
        if users is None:
            return None
        arn = group.meaning.arn
        return users.values(user_id, names, find_put=lambda user: self._histories.find_put(arn, "USERS", user))
