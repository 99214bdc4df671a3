"""Avro schemas of datasets: parsed by fastavro, reduced to what rows are checked and read by.

Which columns each type of dataset must and may have is control_plane's business; here is only what a schema says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import fastavro
from fastavro.schema import SchemaParseException, UnknownType

from common.errors import InvalidInput, invalid

__all__ = ["PRIMITIVES", "AvroField", "AvroSchema"]

#: Primitive types that Personalize's schemas may use.
PRIMITIVES = ("string", "int", "long", "float", "double", "boolean")


@dataclass(frozen=True, slots=True)
class AvroField:
    """One column.

    Attributes:
        name: As in the CSV header.
        type: One of `PRIMITIVES`.
        nullable: The type is a union with null.
        categorical: Values are category names, several joined by `|`.
        textual: Values are text to be understood, not compared.
        item_name: Values are the names of items, which Semantic-Similarity reads beside their text.
        default: The schema's default value, None when there is none.
    """

    name: str
    type: str
    nullable: bool = False
    categorical: bool = False
    textual: bool = False
    item_name: bool = False
    default: Any = None


@dataclass(frozen=True, slots=True)
class AvroSchema:
    """The columns of a dataset."""

    name: str
    fields: tuple[AvroField, ...]

    def field(self, name: str) -> AvroField | None:
        """Return the column of that name, or None."""
        return next((item for item in self.fields if item.name == name), None)

    @classmethod
    def parse(cls, text: str) -> AvroSchema:
        """Read a schema.

        Raises:
            InvalidInput: It is no JSON, no Avro record, or uses a type that datasets cannot hold.
        """
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            raise invalid("schema", got=text, want=f"a JSON document ({error})") from error
        if not isinstance(document, dict) or document.get("type") != "record":
            raise invalid("schema", got=text, want='an Avro schema of type "record"')
        try:
            fastavro.parse_schema(document, _write_hint=False)
        except (SchemaParseException, UnknownType, KeyError, TypeError, AttributeError, ValueError) as error:
            raise InvalidInput(f"`schema`: got an invalid Avro schema: {error!r}") from error
        fields = tuple(_field(item) for item in document["fields"])
        names = [item.name for item in fields]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise invalid("schema", got=twice, want="every field name once")
        return cls(name=document.get("name", ""), fields=fields)


def _field(document: Mapping[str, Any]) -> AvroField:
    name, kind = document["name"], document["type"]
    options = kind if isinstance(kind, list) else [kind]
    # `{"type": "string"}` is Avro's long form of `"string"`.
    plain = [item["type"] if isinstance(item, dict) and set(item) == {"type"} else item for item in options]
    values = [item for item in plain if item != "null"]
    if len(values) != 1 or values[0] not in PRIMITIVES:
        raise invalid(f"schema.{name}", got=kind, want=f"one of {', '.join(PRIMITIVES)}, or a union of one with null")
    return AvroField(
        name=name,
        type=values[0],
        nullable="null" in plain,
        categorical=bool(document.get("categorical", False)),
        textual=bool(document.get("textual", False)),
        item_name=bool(document.get("itemName", False)),
        default=document.get("default"),
    )
