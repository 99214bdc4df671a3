"""A batch job answers each line as the runtime answers the same request at the same place of the log."""

from __future__ import annotations

import random

import pytest

from common.tables import Table
from common.testing import wait_until
from protos.tailorbird.internal.v1 import jobs_pb2
from runtime_service.history import HistoryEvent
from tests.control_plane.world import avro, column
from tests.runtime_service.features.running import ROWS, filter_arn, group_message, publish_rows, schema_of
from tests.runtime_service.world import (
    N_ITEMS,
    N_USERS,
    item,
    publish,
    user,
)
from tests.trainer.batch.running import BatchPlace, Sent, append_events

GROUP = "arn:aws:personalize:us-east-1:000000000000:dataset-group/batch"
EVENTS = avro("Interactions", column("USER_ID"), column("ITEM_ID"), column("TIMESTAMP", "long"), column("EVENT_TYPE"))
#: So old that nothing is explored, which is drawn by lot.
OLD = -(10**8)
ITEMS = schema_of("ITEMS", *ROWS, {"name": "CREATION_TIMESTAMP", "type": ["null", "long"]})
USERS = schema_of("USERS", {"name": "AGE", "type": ["null", "int"]})
#: By name the expression, and what lines may say of its parameters.
FILTERS = {
    "": ("", [{}]),
    "unwatched": ('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch", "click")', [{}]),
    "used": ('INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")', [{}]),
    "kind": (
        "INCLUDE ItemID WHERE Items.T1 IN ($KIND) | EXCLUDE ItemID WHERE Items.I > $MOST",
        [{"KIND": '"even"'}, {"KIND": '"odd","even"', "MOST": "20"}, {"KIND": '"none"'}],
    ),
    "young": ('EXCLUDE ItemID WHERE Items.T1 IN ("odd") IF CurrentUser.AGE < 30', [{}]),
}  # fmt: skip
#: Beside those of the training: one who came later, one of whom nothing is known, and a session without a user.
OTHERS = ("later", "nobody", "session-1")


@pytest.fixture(scope="module")
def events():
    """Return what happened after the training, in an order of its own for each user, sessions with late users too."""
    draw = random.Random(20)
    names = [*(user(number) for number in range(12)), "later"]
    listed = []
    for number in range(150):
        session = f"session-{draw.randrange(8)}"
        is_known = draw.random() < 0.6 and session != "session-1"
        listed.append(
            (
                draw.choice(names) if is_known else "",
                session if not is_known or draw.random() < 0.5 else "",
                draw.choice([item(draw.randrange(N_ITEMS)), "unheard-of", "put-0"]),
                draw.choice(["watch", "buy", "Click"]),
                1_700_000_000 + draw.randrange(60),
                f"e-{number}",
            )
        )
    return listed


@pytest.fixture(scope="module")
def place(runtime, events, personal, popular, ranking, related, tmp_path_factory):
    """Give a job's store that has what the runtime has: artifacts, events, items and users."""
    made = BatchPlace(
        tmp_path_factory.mktemp("batch"), store_url=str(runtime.store.table_uri).removeprefix("file://"),
        history_events=50,
    )  # fmt: skip
    for name, fitted in {"personal": personal, "popular": popular, "ranking": ranking, "related": related}.items():
        publish(made.store, f"artifacts/{name}", fitted)
    sent = []
    for who, session, what, kind, seconds, event_id in events:
        offset = runtime.writer.next_offset()
        sent.append(Sent(offset, who, session, what, kind, seconds, event_id))
        event = HistoryEvent(offset, GROUP, session, who, what, kind, event_id, 1000 * seconds)
        runtime.writer.append([event], next_offset=offset + 1)
    append_events(Table(made.store, "datasets/batch/interactions"), EVENTS, sent)
    offset, epoch = runtime.writer.next_offset() - 1, runtime.writer.lineage().current
    names = [*(item(number) for number in range(N_ITEMS)), "put-0"]
    items = {
        name: {"T1": ("even", "odd")[n % 2], "T2": None, "I": n, "F": None, "CREATION_TIMESTAMP": OLD}
        for n, name in enumerate(names)
    }
    users = {name: {"AGE": 20 + n} for n, name in enumerate([*map(user, range(20)), "later"])}
    places = {
        "ITEMS": publish_rows(made.store, "batch", "ITEMS", items, offset=offset, epoch=epoch, schema=ITEMS),
        "USERS": publish_rows(made.store, "batch", "USERS", users, offset=offset, epoch=epoch, schema=USERS),
    }
    expressions = {name: text for name, (text, _) in FILTERS.items() if text}
    runtime.assign(group_message(GROUP, places, expressions, {"ITEMS": ITEMS, "USERS": USERS, "INTERACTIONS": EVENTS}))
    return made


@pytest.fixture(scope="module")
def campaigns(runtime, place):
    served = {name: runtime.serve(name, GROUP) for name in ("personal", "popular", "ranking", "related")}
    for name in ("personal", "ranking"):
        # The item that came after the training is encoded aside, within a moment.
        new_items = runtime.model(name, GROUP).new_items
        wait_until(lambda new_items=new_items: len(new_items.current) == 1, every=0.005)
    return served


def tables():
    schemas = {"INTERACTIONS": EVENTS, "ITEMS": ITEMS, "USERS": USERS}
    return [
        jobs_pb2.DatasetTable(dataset_type=kind, location=f"datasets/batch/{kind.lower()}", schema=schema)
        for kind, schema in schemas.items()
    ]


def drawn_lines(model, values, draw):
    """Return lines of all kinds of users, of items and of lists, each with values of the filter."""
    lines = []
    for who in [*(user(number) for number in range(0, N_USERS, 2)), *OTHERS, *(user(n) for n in (1, 3, 5, 7, 9, 11))]:
        line = {"userId": who}
        if model == "ranking":
            listed = [item(number) for number in draw.sample(range(N_ITEMS), 12)]
            line["itemList"] = [*listed, "unheard-of", "put-0", listed[0]]
        if model == "related":
            line["itemId"] = item(draw.randrange(N_ITEMS))
        if chosen := draw.choice(values):
            line["filterValues"] = chosen
        lines.append(line)
    return lines


def request(runtime, campaign, line, filter_name):
    """Ask the runtime what a line asks."""
    members = {"user_id": line["userId"], "filter_values": line.get("filterValues", {})}
    if filter_name:
        members["filter_arn"] = filter_arn(filter_name)
    if "itemList" in line:
        return runtime.rank(campaign, line["itemList"], **members).personalized_ranking
    if "itemId" in line:
        members["item_id"] = line["itemId"]
    return runtime.recommend(campaign, num_results=15, **members).item_list


@pytest.mark.parametrize("filter_name", FILTERS)
@pytest.mark.parametrize("model", ["personal", "popular", "ranking", "related"])
def test_every_line_is_answered_as_a_request_is(runtime, place, campaigns, model, filter_name):
    text, values = FILTERS[filter_name]
    lines = drawn_lines(model, values, random.Random(f"{model} {filter_name}"))
    place.ask(*lines)

    result = place.run(f"artifacts/{model}", tables=tables(), filter_expression=text, num_results=15)

    assert (result.answered_lines, result.failed_lines) == (len(lines), 0)
    for line, answer in zip(lines, place.output_lines(), strict=True):
        expected = request(runtime, campaigns[model], line, filter_name)
        assert answer["input"] == line
        assert answer["output"]["recommendedItems"] == [entry.item_id for entry in expected], line
        scores = [entry.score if entry.HasField("score") else None for entry in expected]
        assert answer["output"].get("scores", [None] * len(scores)) == scores, line
