"""The calls of a shop with visitors: recommendations, related items, rankings and events; few users come often.

A target says where to. It is a file, so that the processes of a load generator can read it, and so that somebody can
write it for an installation that runs already.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from protos.tailorbird.events.v1 import events_service_pb2 as events
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as runtime

__all__ = ["SHARES", "Draw", "DrawnCall", "Target", "draw_calls", "draws", "zipf_weights"]

#: Of all calls: a page shows recommendations, or an item with related ones; now and then a list is ranked, and what the
#: visitor looks at is recorded.
SHARES: Final = {"recommendations": 0.6, "related": 0.15, "ranking": 0.1, "events": 0.15}
_RESULTS: Final = 25
_RANKED: Final = 25
_EVENTS_SERVICE: Final = "/tailorbird.events.v1.EventsService/PutEvents"
_RUNTIME_SERVICE: Final = "/tailorbird.runtime.v1.RuntimeService/"


@dataclass(frozen=True, slots=True)
class Target:
    """What is put under load.

    Attributes:
        runtime: `host:port` of the runtime.
        events: `host:port` of the events service.
        token: Bearer token of the role `client`.
        endpoint: URL of the gateway.
        access_key: Id and secret of an access key.
        campaign: ARN of a campaign that recommends items to users.
        related: ARN of one that recommends items to items.
        ranking: ARN of one that ranks lists.
        tracking_id: Of an event tracker.
        event_type: Of the events.
        users: Their ids.
        items: Their ids.
    """

    runtime: str
    events: str
    token: str
    endpoint: str
    access_key: tuple[str, str]
    campaign: str
    related: str
    ranking: str
    tracking_id: str
    event_type: str
    users: Sequence[str]
    items: Sequence[str]

    def write(self, path: Path) -> None:
        """Write it to a file that only its owner can read."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Target:
        """Read it from a file."""
        document = json.loads(path.read_text())
        return cls(**{**document, "access_key": tuple(document["access_key"])})


@dataclass(frozen=True, slots=True)
class Draw:
    """One call before it is a message: its kind (of `SHARES`), who makes it, and the items that it is about."""

    kind: str
    user: str
    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class DrawnCall:
    """One call as it is sent: its kind, `host:port`, the method's full name, the message."""

    kind: str
    address: str
    method: str
    body: bytes


def zipf_weights(count: int) -> list[float]:
    """Return cumulative weights by which the n-th of `count` is drawn 1/n as often as the first (Zipf's law)."""
    return list(itertools.accumulate(1 / rank for rank in range(1, count + 1)))


def draws(target: Target, *, seed: int) -> Iterator[Draw]:
    """Draw calls without end; the same seed gives the same."""
    rng = random.Random(seed)
    kinds, shares = list(SHARES), list(itertools.accumulate(SHARES.values()))
    users, items = zipf_weights(len(target.users)), zipf_weights(len(target.items))
    while True:
        (kind,) = rng.choices(kinds, cum_weights=shares)
        (user,) = rng.choices(target.users, cum_weights=users)
        some = rng.choices(target.items, cum_weights=items, k=_RANKED if kind == "ranking" else 1)
        yield Draw(kind, user, list(dict.fromkeys(some)))


def draw_calls(target: Target, *, seed: int) -> Iterator[DrawnCall]:
    """Draw calls without end, as messages."""
    for draw in draws(target, seed=seed):
        if draw.kind == "events":
            yield DrawnCall("events", target.events, _EVENTS_SERVICE, _put_events(target, draw).SerializeToString())
        elif draw.kind == "ranking":
            ranking = runtime.GetPersonalizedRankingRequest(
                campaign_arn=target.ranking, user_id=draw.user, input_list=draw.items
            )
            method = f"{_RUNTIME_SERVICE}GetPersonalizedRanking"
            yield DrawnCall("ranking", target.runtime, method, ranking.SerializeToString())
        else:
            request = runtime.GetRecommendationsRequest(num_results=_RESULTS)
            if draw.kind == "related":
                request.campaign_arn, request.item_id = target.related, draw.items[0]
            else:
                request.campaign_arn, request.user_id = target.campaign, draw.user
            method = f"{_RUNTIME_SERVICE}GetRecommendations"
            yield DrawnCall(draw.kind, target.runtime, method, request.SerializeToString())


def _put_events(target: Target, draw: Draw) -> events.PutEventsRequest:
    now = Timestamp()
    now.GetCurrentTime()
    event = events.Event(event_type=target.event_type, item_id=draw.items[0], sent_at=now)
    return events.PutEventsRequest(
        tracking_id=target.tracking_id, user_id=draw.user, session_id=f"{draw.user}-1", event_list=[event]
    )
