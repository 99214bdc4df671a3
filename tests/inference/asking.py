"""Short ways to ask a pipeline, for tests."""

from __future__ import annotations

from common.positions import Lineage
from inference.candidates import ItemList
from inference.recent_events import RecentEvent
from inference.request import RecommendationRequest
from runtime_service.history.records import StoredHistory, encode
from tests.runtime_service.world import item


def recommend(pipeline, user_id="", history=None, *, limit=10, **members):
    return pipeline.run(RecommendationRequest(limit, user_id=user_id, recent=history, **members))


def rank(pipeline, user_id, items, history=None, **members):
    return recommend(pipeline, user_id, history, limit=len(items), candidates=ItemList(items), **members)


def similar_items(pipeline, item_id, *, limit=10, **members):
    return pipeline.run(RecommendationRequest(limit, item_id=item_id, **members))


def recent(*events, lineage=None, millis=None):
    """Make a stored history of (offset, event type, item)."""
    return StoredHistory(
        encode([RecentEvent(offset, millis or 1000 * offset, kind, item(at), offset) for offset, kind, at in events]),
        lineage or Lineage.legacy(),
    )
