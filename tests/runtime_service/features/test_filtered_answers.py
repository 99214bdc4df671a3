"""Answers to requests with filters: those that a look at every row in plain Python gives, whatever is drawn."""

from __future__ import annotations

import json
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.common.filters import oracle
from tests.runtime_service.features.running import filter_arn, group_message, publish_rows
from tests.runtime_service.servicers.wire import ids, ranked_ids
from tests.runtime_service.world import N_ITEMS, interaction_rows, item, two_tastes, user

#: All items: those of the models, those that snapshots have beside them, and one that is put after that.
NEW = ["new-0", "new-1", "new-2"]
NEWER = "newer"
NAMES = [*(item(number) for number in range(N_ITEMS)), *NEW, NEWER]
NULL_ROW = {"T1": [], "T2": [], "I": [], "F": []}
USER = user(3)
_numbers = count()


def columns_of(row):
    """Return a row as a file or a put has it."""
    return {
        "T1": "|".join(row["T1"]) or None,
        "T2": row["T2"][0] if row["T2"] else None,
        "I": row["I"][0] if row["I"] else None,
        "F": row["F"][0] if row["F"] else None,
    }


def properties_of(row):
    return json.dumps({name.lower(): value for name, value in columns_of(row).items() if value is not None})


def drawn_filter(drawn):
    """Draw filters until one chooses items."""
    while True:
        drawn.values = {}
        target, chain, values = drawn.filter()
        if target == "ItemID":
            return target, chain, values


def past_events():
    """Return what the user did until the training, whatever models learn of it: by type the numbers of items."""
    events = {}
    for who, what, kind, _ in (
        interaction_rows(two_tastes()).select("USER_ID", "ITEM_ID", "EVENT_TYPE", "TIMESTAMP").rows()
    ):
        if who == USER and what.startswith("item-"):
            events.setdefault(kind, set()).add(int(what.removeprefix("item-")))
    return events


class World:
    """Items, users and events of one example, in a group of its own, and the same as plain rows."""

    def __init__(self, runtime, drawn) -> None:
        self.group = f"arn:aws:personalize:us-east-1:000000000000:dataset-group/drawn{next(_numbers)}"
        self.runtime, self.random = runtime, drawn.random
        self.rows = [drawn.row_values() if self.random.random() < 0.7 else NULL_ROW for _ in range(N_ITEMS)]
        before = [drawn.row_values() if self.random.random() < 0.5 else row for row in self.rows]
        held = {item(n): columns_of(row) for n, row in enumerate(before) if row is not NULL_ROW}
        new = [drawn.row_values() for _ in (*NEW, NEWER)]
        held |= {name: columns_of(row) for name, row in zip(NEW, new, strict=False)}
        self.user = self.random.choice([None, drawn.row_values()])
        users = {USER: columns_of(drawn.row_values() if self.random.random() < 0.5 else self.user)} if self.user else {}
        offset, epoch = runtime.writer.next_offset() - 1, runtime.writer.lineage().current
        name = self.group.rpartition("/")[2]
        self.locations = {
            "ITEMS": publish_rows(runtime.store, name, "ITEMS", held, offset=offset, epoch=epoch),
            "USERS": publish_rows(runtime.store, name, "USERS", users, offset=offset, epoch=epoch) if users else None,
        }
        if self.user:
            runtime.put(self.group, "USERS", USER, properties_of(self.user))
        self.last = runtime.put(self.group, "ITEMS", NEWER, properties_of(new[-1]))
        for number, (row, earlier) in enumerate(zip(self.rows, before, strict=True)):
            if row is not earlier:
                self.last = runtime.put(self.group, "ITEMS", item(number), properties_of(row))
        self.rows += new
        self.events = {name: set(items) for name, items in past_events().items()}
        for event_type, items in drawn.events().items():
            for number in items:
                runtime.send(self.group, USER, item(number), event_type)
                self.events.setdefault(event_type, set()).add(number)

    def passing(self, chain, values, current):
        rows = oracle.Oracle(values, table=self.rows, events=self.events, user=self.user, item=current).passing(chain)
        return {NAMES[number] for number in rows}


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**63))
def test_answers_are_those_of_brute_force(runtime, seed):
    drawn = oracle.Generator(seed)
    world = World(runtime, drawn)
    chains = [drawn_filter(drawn) for _ in range(4)]
    texts = {
        f"f{place}": oracle.written(drawn.random, target, chain) for place, (target, chain, _) in enumerate(chains)
    }
    names = {kind: runtime.serve(kind, world.group) for kind in ("personal", "related", "ranking")}
    runtime.assign(group_message(world.group, world.locations, texts))
    runtime.wait_for_puts(world.group, "ITEMS", world.last)
    current = drawn.random.randrange(N_ITEMS)
    everything = ids(runtime.recommend(names["personal"], user_id=USER, num_results=len(NAMES)))
    assert set(everything) == set(NAMES)
    for place, (_, chain, values) in enumerate(chains):
        members = {
            "filter_arn": filter_arn(f"f{place}"),
            "filter_values": {name: oracle.literal(value) for name, value in values.items()},
            "user_id": USER,
        }
        limit = drawn.random.randint(1, N_ITEMS)
        if "CURRENTITEM" in texts[f"f{place}"].upper():
            passing = world.passing(chain, values, current)
            related = ids(runtime.recommend(names["related"], item_id=item(current), num_results=N_ITEMS, **members))
            assert (texts[f"f{place}"], set(related)) == (texts[f"f{place}"], passing - {item(current), *NEW, NEWER})
            continue
        passing = world.passing(chain, values, None)
        in_order = [item_id for item_id in everything if item_id in passing]
        answered = ids(runtime.recommend(names["personal"], num_results=limit, **members))
        assert answered == in_order[:limit], texts[f"f{place}"]
        listed = [NEWER, *drawn.random.sample(NAMES[:N_ITEMS], 10)]
        ranked = ranked_ids(runtime.rank(names["ranking"], listed, **members))
        in_order = [item_id for item_id in everything if item_id in passing and item_id in listed[1:]]
        # Nothing is known of the new one: the model has learnt from no columns.
        assert ranked == in_order + [NEWER] * (NEWER in passing)
