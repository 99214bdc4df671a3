"""What is told of the items of an answer."""

from __future__ import annotations

from dataclasses import dataclass, field

from common.avro import AvroSchema
from common.features import Features, Put
from common.filters import Dataset, parse_filter
from common.vocabulary import Vocabulary
from inference.filter_table import FilterTable, Passing
from runtime_service.servicers.explained import excluding_filters
from tests.runtime_service.features.running import schema_of

SCHEMA = AvroSchema.parse(schema_of("ITEMS"))
IDS = [f"item-{number}" for number in range(40)]


@dataclass(frozen=True, slots=True, eq=False)
class CountedPassing(Passing):
    """What passes a filter, and how often it was worked out."""

    times: list[int] = field(default_factory=list)

    def candidates(self):
        self.times.append(1)
        return super(CountedPassing, self).candidates()


def test_what_passes_a_filter_is_worked_out_once_for_all_items():
    puts = [Put(place, name, {"T1": "a" if place % 2 else "b"}) for place, name in enumerate(IDS, 1)]
    features = Features.of(None, SCHEMA, offset=0).with_puts(puts)
    table = FilterTable.of(Vocabulary.build(IDS), features)
    passing = {}
    for arn, value in (("arn:a", "a"), ("arn:b", "b")):
        definition = parse_filter(f'INCLUDE ItemID WHERE Items.T1 = "{value}"', {Dataset.ITEMS: SCHEMA})
        passing[arn] = CountedPassing(table, table.compiled(definition, {}))

    excluding = excluding_filters(passing, {name: place for place, name in enumerate(IDS)})

    assert excluding == {name: ["arn:b" if place % 2 == 0 else "arn:a"] for place, name in enumerate(IDS)}
    assert [len(one.times) for one in passing.values()] == [1, 1]
