"""The schemas that the tests of filters check against."""

import json

import pytest

from common.avro import AvroSchema
from common.filters import Dataset


def schema(name, **fields):
    described = [
        {"name": column, **(kind if isinstance(kind, dict) else {"type": kind})} for column, kind in fields.items()
    ]
    return AvroSchema.parse(json.dumps({"type": "record", "name": name, "fields": described}))


SCHEMAS = {
    Dataset.ITEMS: schema(
        "Items",
        ITEM_ID="string",
        GENRES={"type": ["null", "string"], "categorical": True},
        Brand={"type": ["null", "string"]},
        YEAR=["null", "int"],
        PRICE=["float", "null"],
        CREATION_TIMESTAMP="long",
        ADULT="boolean",
        PLOT={"type": "string", "textual": True},
        IN={"type": "string"},
        **{f"F{number}": "int" for number in range(12)},
    ),
    Dataset.USERS: schema("Users", USER_ID="string", AGE="int", MEMBERSHIP={"type": "string", "categorical": True}),
    Dataset.INTERACTIONS: schema(
        "Interactions", USER_ID="string", ITEM_ID="string", TIMESTAMP="long", EVENT_TYPE="string", DEVICE="string"
    ),
    Dataset.ACTIONS: schema("Actions", ACTION_ID="string", VALUE="long", REPEAT_FREQUENCY="long", TYPE="string"),
    Dataset.ACTION_INTERACTIONS: schema(
        "ActionInteractions", USER_ID="string", ACTION_ID="string", TIMESTAMP="long", EVENT_TYPE="string"
    ),
}


@pytest.fixture(scope="session")
def schemas():
    return SCHEMAS
