"""Avro schemas of datasets: parsed by fastavro, reduced to what rows are validated and read by.

Which columns each type of dataset must and may have is decided in control_plane; this module only parses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import fastavro
from fastavro.schema import SchemaParseException, UnknownType

from common.errors import InvalidInput, invalid
from common.json_text import read_json

__all__ = ["MAX_SCHEMA_LENGTH", "MAX_TEXT_LENGTH", "PRIMITIVES", "AvroField", "AvroSchema"]

#: Characters of a schema, by Personalize's limit.
MAX_SCHEMA_LENGTH: Final = 20_000
#: Characters that are kept of the value of a textual column, by Personalize's limit: longer ones are cut, not refused.
MAX_TEXT_LENGTH: Final = 20_000

#: Primitive types that Personalize's schemas may use.
PRIMITIVES = ("string", "int", "long", "float", "double", "boolean")
#: Record, list of fields, field, union, long form of a type; the rest is for members that are not read.
_MAX_DEPTH: Final = 10
_FLAGS: Final[Mapping[object, bool]] = {True: True, False: False, "true": True, "false": False}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FULL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


@dataclass(frozen=True, slots=True)
class AvroField:
    """One column of a schema.

    Attributes:
        name: As in the CSV header.
        type: One of `PRIMITIVES`.
        nullable: The type is a union with null.
        categorical: Values are category names, several joined by `|`.
        textual: Values are free text.
        item_name: Values are names of items, which Semantic-Similarity reads in addition to their text.
        default: The schema's default value; None for none.
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

    def __hash__(self) -> int:
        # Keys of caches that are asked for each record: a hash of all fields would take longer than the record.
        return hash((self.name, len(self.fields)))

    def field(self, name: str) -> AvroField | None:
        """Return the column of that name, or None."""
        return next((item for item in self.fields if item.name == name), None)

    @classmethod
    def parse(cls, text: str) -> AvroSchema:
        """Parse a schema.

        Raises:
            InvalidInput: It is not JSON, not an Avro record, or uses a type that datasets cannot have; names the place.
        """
        document = read_json(text, field="schema", max_length=MAX_SCHEMA_LENGTH, max_depth=_MAX_DEPTH)
        if not isinstance(document, dict) or document.get("type") != "record":
            raise invalid("schema", got=text, want='an Avro schema of type "record"')
        name = _name(document, "schema.name", _FULL_NAME)
        entries = document.get("fields")
        if not isinstance(entries, list) or not entries:
            raise invalid("schema.fields", got=entries, want="a list of at least one field")
        _check_unread(document)
        fields = tuple(_field(item, place) for place, item in enumerate(entries))
        for item, count in Counter(item.name for item in fields).items():
            if count > 1:
                raise invalid("schema.fields", got=[item] * count, want="every field name once")
        _check_by_avro(document)
        return cls(name=name, fields=fields)


def _name(document: Mapping[str, Any], place: str, pattern: re.Pattern[str]) -> str:
    name = document.get("name")
    if not isinstance(name, str) or not pattern.fullmatch(name):
        raise invalid(place, got=name, want="a name of letters, digits and _, the first no digit")
    return name


def _field(document: Any, place: int) -> AvroField:
    if not isinstance(document, dict):
        raise invalid(f"schema.fields[{place}]", got=document, want="an object with a name and a type")
    name = _name(document, f"schema.fields[{place}].name", _NAME)
    kind, nullable = _type(document.get("type"), name)
    default = document.get("default")
    if default is not None and not _fits(default, kind):
        raise invalid(f"schema.{name}.default", got=default, want=f"a value of type {kind}")
    return AvroField(
        name=name,
        type=kind,
        nullable=nullable,
        categorical=_flag(document, "categorical", name),
        textual=_flag(document, "textual", name),
        item_name=_flag(document, "itemName", name),
        default=default,
    )


def _type(kind: Any, name: str) -> tuple[str, bool]:
    """Return a primitive type, and whether null may stand for its values."""
    options = kind if isinstance(kind, list) else [kind]
    # `{"type": "string"}` is Avro's long form of `"string"`.
    plain = [item["type"] if isinstance(item, dict) and set(item) == {"type"} else item for item in options]
    values = [item for item in plain if item != "null"]
    if len(values) != 1 or len(plain) > 2 or values[0] not in PRIMITIVES:
        raise invalid(f"schema.{name}", got=kind, want=f"one of {', '.join(PRIMITIVES)}, or a union of one with null")
    return values[0], len(plain) > 1


def _flag(document: Mapping[str, Any], key: str, name: str) -> bool:
    value = document.get(key)
    # Some clients write booleans as text, and "false" must not count as true.
    flag = _FLAGS.get(value.lower() if isinstance(value, str) else value) if isinstance(value, str | bool) else None
    if value is not None and flag is None:
        raise invalid(f"schema.{name}.{key}", got=value, want="true or false")
    return bool(flag)


def _fits(value: Any, kind: str) -> bool:
    if kind in ("string", "boolean"):
        return isinstance(value, str if kind == "string" else bool)
    bits = {"int": 31, "long": 63}.get(kind)
    if isinstance(value, bool) or not isinstance(value, int if bits else int | float):
        return False
    return bits is None or -(2**bits) <= value < 2**bits


def _check_unread(document: Mapping[str, Any]) -> None:
    """Check the members that only Avro uses: the namespace and the aliases."""
    namespace = document.get("namespace") or ""
    if not isinstance(namespace, str):
        raise invalid("schema.namespace", got=namespace, want="text, e.g. com.amazonaws.personalize.schema")
    aliases = document.get("aliases") or []
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        raise invalid("schema.aliases", got=aliases, want="a list of names")


def _check_by_avro(document: Mapping[str, Any]) -> None:
    """Validate the rest with the parser of Avro.

    Raises:
        InvalidInput: It rejects the schema.
    """
    try:
        fastavro.parse_schema(dict(document), _write_hint=False)
    except (SchemaParseException, UnknownType) as error:
        raise InvalidInput(f"`schema`: got no valid Avro schema: {error}") from error
    except Exception as error:
        got = f"a record with the members {', '.join(sorted(document))[:200]}"
        raise invalid("schema", got=got, want="each of them as the specification of Avro has it") from error
