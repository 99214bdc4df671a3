"""What a user did, until the training and since, as this host knows it."""

from __future__ import annotations

from common.filters import Target
from inference.recent_events import RecentHistory
from inference.used_items import EventWindow, UsedItems, used_dataset, used_items
from runtime_service.history import HistoryReader
from runtime_service.serving.deployments import Deployment

__all__ = ["UserEvents"]


class UserEvents:
    """Reads what users did.

    Args:
        histories: What they did a moment ago.
        window: How much of it counts.
    """

    def __init__(self, histories: HistoryReader, window: EventWindow) -> None:
        self._histories = histories
        self._window = window

    def find(
        self,
        deployment: Deployment,
        user_id: str,
        *,
        target: Target,
        types: frozenset[str] | None,
        seen: dict[str, RecentHistory | None] | None = None,
    ) -> UsedItems:
        """Return what a user had to do with.

        Args:
            deployment: What answers; has the past.
            user_id: The user, known or not.
            target: Whether items or actions are asked for.
            types: The types of events to return, as `event_key` writes them; None for all.
            seen: By type of dataset the recent events of this user that the request has looked up already, if it has;
                those that are looked up here are put in.
        """
        name, looked_up = used_dataset(target).upper(), {} if seen is None else seen
        if name not in looked_up:
            group = deployment.assignment.dataset_group_arn
            looked_up[name] = self._histories.find(group, user_id, dataset_type=name)
        return used_items(deployment.model, looked_up[name], user_id, target=target, types=types, window=self._window)
