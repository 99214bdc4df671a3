"""Visitors for Locust, who call by gRPC or by boto3: `LOAD_TARGET=target.json locust -f benchmarks/load/locustfile.py`.

The file is a `Target` (benchmarks/load/mix.py); `python -m benchmarks.load.visitors` writes one and runs this without
Locust's web page. A visitor looks at a page, pauses, and looks at the next.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Sized
from pathlib import Path
from typing import Any, Final

# Locust replaces threads and sockets by gevent's when it is imported: before all that use them.
from locust import User, between, task

# isort: split
import boto3
import grpc
from botocore.config import Config
from grpc.experimental import gevent as grpc_gevent  # type: ignore[attr-defined]  # missing in the stubs only

from benchmarks.load.mix import Draw, DrawnCall, Target, draw_calls, draws

grpc_gevent.init_gevent()

TARGET: Final = Target.read(Path(os.environ["LOAD_TARGET"]))
_SEEDS: Final = itertools.count(1)
_DEADLINE_SECONDS: Final = 10.0


class Visitor(User):
    """What both kinds of visitors have in common."""

    abstract = True
    wait_time = between(0.05, 0.5)

    def timed(self, protocol: str, kind: str, call: Callable[[], Sized]) -> None:
        """Make a call, and report it with its failure, if it is one."""
        started, failure, size = time.perf_counter(), None, 0
        try:
            size = len(call())
        except Exception as error:  # noqa: BLE001 - Locust counts failures of every sort
            failure = error
        self.environment.events.request.fire(
            request_type=protocol,
            name=kind,
            response_time=1000 * (time.perf_counter() - started),
            response_length=size,
            exception=failure,
            context={},
        )


class GrpcVisitor(Visitor):
    """Calls by gRPC, on connections of its own."""

    def on_start(self) -> None:
        """Open the connections."""
        self._calls = draw_calls(TARGET, seed=next(_SEEDS))
        options = [("grpc.use_local_subchannel_pool", 1)]
        addresses = {TARGET.runtime, TARGET.events}
        self._channels = {address: grpc.insecure_channel(address, options=options) for address in addresses}

    def on_stop(self) -> None:
        """Close them."""
        for channel in self._channels.values():
            channel.close()

    @task
    def look(self) -> None:
        """Make the next call."""
        call = next(self._calls)
        self.timed("gRPC", call.kind, lambda: self._send(call))

    def _send(self, call: DrawnCall) -> bytes:
        # The message is made already, and the answer is not looked into.
        method: Any = self._channels[call.address].unary_unary(call.method, None, None)
        answer: bytes = method(
            call.body, metadata=[("authorization", f"Bearer {TARGET.token}")], timeout=_DEADLINE_SECONDS
        )
        return answer


class Boto3Visitor(Visitor):
    """Calls as an application does that was written for Personalize."""

    def on_start(self) -> None:
        """Make the clients."""
        self._draws = draws(TARGET, seed=next(_SEEDS))
        identifier, secret = TARGET.access_key
        session = boto3.session.Session(
            aws_access_key_id=identifier, aws_secret_access_key=secret, region_name="us-east-1"
        )
        config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=_DEADLINE_SECONDS)
        self._runtime, self._events = (
            session.client(name, endpoint_url=TARGET.endpoint, config=config)
            for name in ("personalize-runtime", "personalize-events")
        )

    @task
    def look(self) -> None:
        """Make the next call."""
        draw = next(self._draws)
        self.timed("boto3", draw.kind, lambda: self._send(draw))

    def _send(self, draw: Draw) -> dict[str, Any]:
        if draw.kind == "events":
            event = {"eventType": TARGET.event_type, "itemId": draw.items[0], "sentAt": time.time()}
            answer = self._events.put_events(
                trackingId=TARGET.tracking_id, userId=draw.user, sessionId=f"{draw.user}-1", eventList=[event]
            )
        elif draw.kind == "ranking":
            answer = self._runtime.get_personalized_ranking(
                campaignArn=TARGET.ranking, userId=draw.user, inputList=list(draw.items)
            )
        elif draw.kind == "related":
            answer = self._runtime.get_recommendations(campaignArn=TARGET.related, itemId=draw.items[0])
        else:
            answer = self._runtime.get_recommendations(campaignArn=TARGET.campaign, userId=draw.user)
        made: dict[str, Any] = answer
        return made
