"""The columns that each type of dataset must and may have, in custom and in domain dataset groups.

The name of a schema's record says which type of dataset it is for. Schemas are checked when they are created, so that
creating a dataset only has to compare types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from common.avro import AvroField, AvroSchema
from common.columns import INTERNAL
from common.errors import invalid

__all__ = [
    "DatasetType",
    "Domain",
    "check_dataset_type",
    "check_describes_items",
    "check_schema",
    "check_schema_change",
    "check_theme_column",
]

_COLUMN = re.compile(r"[A-Za-z_][A-Za-z\d_]{0,149}")
_NUMERIC: Final = frozenset({"int", "long", "float", "double"})


class DatasetType(StrEnum):
    """The five types of datasets, spelt as in responses and ARNs."""

    INTERACTIONS = "INTERACTIONS"
    ITEMS = "ITEMS"
    USERS = "USERS"
    ACTIONS = "ACTIONS"
    ACTION_INTERACTIONS = "ACTION_INTERACTIONS"


class Domain(StrEnum):
    """Domains of dataset groups; a custom group has none."""

    ECOMMERCE = "ECOMMERCE"
    VIDEO_ON_DEMAND = "VIDEO_ON_DEMAND"


#: Types of datasets whose schema can be replaced.
_CHANGEABLE: Final = (DatasetType.ITEMS, DatasetType.USERS)


@dataclass(frozen=True, slots=True)
class _ColumnRule:
    """The types and attributes that a reserved column may have."""

    types: frozenset[str]
    categorical: bool = False
    textual: bool = False
    nullable: bool = True

    def accepts(self, field_schema: AvroField) -> bool:
        return (
            field_schema.type in self.types
            and field_schema.categorical == self.categorical
            and field_schema.textual == self.textual
            and (self.nullable or not field_schema.nullable)
        )

    @property
    def want(self) -> str:
        flags = ("categorical ",) if self.categorical else ("textual ",) if self.textual else ()
        null = " or null" if self.nullable else ", never null"
        return f"{''.join(flags)}{' or '.join(sorted(self.types))}{null}"


@dataclass(frozen=True, slots=True)
class _SchemaRule:
    """The columns of one type of dataset.

    Attributes:
        required: Columns that the schema must have.
        reserved: Columns that it may have, in this form only.
        max_metadata: How many other columns it may have.
        needs_metadata: Whether it must have one that recipes can use.
    """

    required: Mapping[str, _ColumnRule]
    reserved: Mapping[str, _ColumnRule] = field(default_factory=dict)
    max_metadata: int = 0
    needs_metadata: bool = False


def _optional(*types: str, categorical: bool = False, textual: bool = False) -> _ColumnRule:
    return _ColumnRule(frozenset(types), categorical=categorical, textual=textual)


def _required(*types: str, categorical: bool = False) -> _ColumnRule:
    return _ColumnRule(frozenset(types), categorical=categorical, nullable=False)


_TEXT: Final = _optional("string")
_CATEGORY: Final = _optional("string", categorical=True)
_IDENTIFIER: Final = _required("string")
_SECONDS: Final = _required("long")
_NUMBER: Final = _optional("float", "double")

_INTERACTION_RESERVED: Final = {
    "EVENT_TYPE": _TEXT,
    "EVENT_VALUE": _NUMBER,
    "IMPRESSION": _TEXT,
    "RECOMMENDATION_ID": _TEXT,
    "EVENT_ATTRIBUTION_SOURCE": _TEXT,
}
_INTERACTION: Final = {"USER_ID": _IDENTIFIER, "ITEM_ID": _IDENTIFIER, "TIMESTAMP": _SECONDS}
_USERS: Final = _SchemaRule({"USER_ID": _IDENTIFIER}, max_metadata=25, needs_metadata=True)
_DOMAIN_INTERACTIONS: Final = _SchemaRule(
    {**_INTERACTION, "EVENT_TYPE": _IDENTIFIER}, _INTERACTION_RESERVED, max_metadata=5
)

_RULES: Final[Mapping[tuple[Domain | None, DatasetType], _SchemaRule]] = {
    (None, DatasetType.INTERACTIONS): _SchemaRule(_INTERACTION, _INTERACTION_RESERVED, max_metadata=5),
    (None, DatasetType.USERS): _USERS,
    (None, DatasetType.ITEMS): _SchemaRule(
        {"ITEM_ID": _IDENTIFIER}, {"CREATION_TIMESTAMP": _optional("long")}, max_metadata=100, needs_metadata=True
    ),
    (None, DatasetType.ACTIONS): _SchemaRule(
        {"ACTION_ID": _IDENTIFIER},
        {
            "CREATION_TIMESTAMP": _optional("long"),
            "VALUE": _optional("long"),
            "TYPE": _TEXT,
            # Personalize's documentation uses both names.
            "EXPIRATION_TIMESTAMP": _optional("long"),
            "ACTION_EXPIRATION_TIMESTAMP": _optional("long"),
            "REPEAT_FREQUENCY": _optional("long"),
        },
        max_metadata=10,
        needs_metadata=True,
    ),
    (None, DatasetType.ACTION_INTERACTIONS): _SchemaRule(
        {"USER_ID": _IDENTIFIER, "ACTION_ID": _IDENTIFIER, "EVENT_TYPE": _IDENTIFIER, "TIMESTAMP": _SECONDS},
        {"IMPRESSION": _TEXT, "RECOMMENDATION_ID": _TEXT},
        max_metadata=5,
    ),
    (Domain.ECOMMERCE, DatasetType.INTERACTIONS): _DOMAIN_INTERACTIONS,
    (Domain.ECOMMERCE, DatasetType.USERS): _USERS,
    (Domain.ECOMMERCE, DatasetType.ITEMS): _SchemaRule(
        {"ITEM_ID": _IDENTIFIER, "PRICE": _required("float"), "CATEGORY_L1": _CATEGORY},
        {
            "CATEGORY_L2": _CATEGORY,
            "CATEGORY_L3": _CATEGORY,
            "PRODUCT_DESCRIPTION": _optional("string", textual=True),
            "CREATION_TIMESTAMP": _optional("long", "float"),
            "AGE_GROUP": _CATEGORY,
            "ADULT": _CATEGORY,
            "GENDER": _CATEGORY,
        },
        max_metadata=100,
    ),
    (Domain.VIDEO_ON_DEMAND, DatasetType.INTERACTIONS): _DOMAIN_INTERACTIONS,
    (Domain.VIDEO_ON_DEMAND, DatasetType.USERS): _USERS,
    (Domain.VIDEO_ON_DEMAND, DatasetType.ITEMS): _SchemaRule(
        {"ITEM_ID": _IDENTIFIER, "GENRES": _CATEGORY, "CREATION_TIMESTAMP": _SECONDS},
        {
            "PRICE": _NUMBER,
            "DURATION": _NUMBER,
            "AVERAGE_RATING": _NUMBER,
            "GENRE_L2": _CATEGORY,
            "GENRE_L3": _CATEGORY,
            "CONTENT_OWNER": _CATEGORY,
            "CONTENT_CLASSIFICATION": _CATEGORY,
            "PRODUCT_DESCRIPTION": _optional("string", textual=True),
        },
        max_metadata=100,
    ),
}


def check_dataset_type(value: str) -> DatasetType:
    """Return a type of dataset from its name, in upper or lower case.

    Raises:
        InvalidInput: There is no such type.
    """
    try:
        return DatasetType(value.upper())
    except ValueError as error:
        raise invalid("datasetType", got=value, want=f"one of {', '.join(DatasetType)}") from error


def check_schema(text: str, domain: Domain | None) -> DatasetType:
    """Check a schema by the rules of the type of dataset that its record names.

    Returns:
        The type of dataset it is for.

    Raises:
        InvalidInput: It breaks a rule; the message names the field.
    """
    schema = AvroSchema.parse(text)
    kind = _type_of(schema)
    rule = _RULES.get((domain, kind))
    if rule is None:
        raise invalid("domain", got=domain, want=f"none: {kind} datasets exist in custom dataset groups only")
    _check_names(schema)
    for name, column in rule.required.items():
        field_schema = schema.field(name)
        if field_schema is None:
            raise invalid("schema", got=[item.name for item in schema.fields], want=f"a field {name} ({column.want})")
        _check_column(field_schema, column)
    for name, column in rule.reserved.items():
        if (field_schema := schema.field(name)) is not None and name not in rule.required:
            _check_column(field_schema, column)
    _check_metadata(schema, kind, rule)
    return kind


def check_schema_change(kind: DatasetType, old: str, new: str) -> tuple[str, ...]:
    """Check that a dataset can get another schema.

    Args:
        kind: Type of the dataset.
        old: Its schema, as JSON.
        new: The schema that it would get, which is for the same type.

    Returns:
        The names of the fields that are new.

    Raises:
        InvalidInput: Datasets of this type keep their schema, a field is gone or changed, or a new one is never null.
    """
    if kind not in _CHANGEABLE:
        raise invalid("datasetArn", got=f"a dataset of type {kind}", want=f"one of type {' or '.join(_CHANGEABLE)}")
    fields = {item.name: item for item in AvroSchema.parse(new).fields}
    for item in AvroSchema.parse(old).fields:
        if fields.pop(item.name, None) != item:
            raise invalid("schemaArn", got=f"a schema without the field {item.name} as it is", want="all fields kept")
    for item in fields.values():
        if not item.nullable:
            raise invalid("schemaArn", got=f"a new field {item.name} without null", want="null among its types")
    return tuple(fields)


def check_describes_items(text: str, *, field: str) -> None:
    """Check that a schema of items has an itemName column and a textual column, for recipes that learn from them.

    Raises:
        InvalidInput: It lacks one of them.
    """
    fields = AvroSchema.parse(text).fields
    if not any(item.item_name for item in fields) or not any(item.textual for item in fields):
        raise invalid(
            field, got=[item.name for item in fields], want="a field of the attribute itemName and a textual field"
        )


def check_theme_column(name: str, *, items: str | None, field: str) -> None:
    """Check that themes can be made of items: they have a column with their names and a textual one.

    Args:
        name: The column that shall hold their names; empty for none.
        items: Schema of the Items dataset; None without one.
        field: Where the name stands in the request.

    Raises:
        InvalidInput: They cannot.
    """
    fields = () if items is None else AvroSchema.parse(items).fields
    texts = [item.name for item in fields if item.type == "string" and item.name != "ITEM_ID"]
    if name not in texts:
        want = f"the column of the items with their names: {' or '.join(texts) or 'an Items dataset with one'}"
        raise invalid(field, got=name or None, want=want)
    if not any(item.textual for item in fields):
        raise invalid("batchInferenceJobMode", got="THEME_GENERATION", want="an Items dataset with a textual field")


def _type_of(schema: AvroSchema) -> DatasetType:
    by_name = {kind.replace("_", "").lower(): kind for kind in DatasetType}
    kind = by_name.get(schema.name.replace("_", "").lower())
    if kind is None:
        raise invalid("schema.name", got=schema.name, want="Interactions, Items, Users, Actions or ActionInteractions")
    return kind


def _check_names(schema: AvroSchema) -> None:
    normalised_names: dict[str, str] = {}
    for item in schema.fields:
        if not _COLUMN.fullmatch(item.name):
            raise invalid("schema.fields", got=item.name, want="names of letters, digits and _, at most 150")
        if item.name.upper() in INTERNAL:
            raise invalid("schema.fields", got=item.name, want="another name: this one is used internally")
        normalised = item.name.replace("_", "").lower()
        if normalised in normalised_names:
            raise invalid(
                "schema.fields",
                got=[normalised_names[normalised], item.name],
                want="names that differ in more than case and underscores",
            )
        normalised_names[normalised] = item.name


def _check_column(field_schema: AvroField, column: _ColumnRule) -> None:
    if not column.accepts(field_schema):
        flags = "categorical " * field_schema.categorical + "textual " * field_schema.textual
        got = f"{flags}{field_schema.type}{' or null' if field_schema.nullable else ''}"
        raise invalid(f"schema.{field_schema.name}", got=got, want=column.want)


def _check_metadata(schema: AvroSchema, kind: DatasetType, rule: _SchemaRule) -> None:
    metadata = [item for item in schema.fields if item.name not in rule.required and item.name not in rule.reserved]
    for item in schema.fields:
        if (item.categorical or item.textual) and item.type != "string":
            raise invalid(f"schema.{item.name}", got=item.type, want="string for a categorical or textual field")
    _check_item_name(schema, kind)
    textual = [item.name for item in schema.fields if item.textual]
    if textual and kind is not DatasetType.ITEMS:
        raise invalid("schema.fields", got=textual, want=f"no textual field in a schema for {kind}")
    if len(textual) > 1:
        raise invalid("schema.fields", got=textual, want="at most one textual field")
    if len(metadata) > rule.max_metadata:
        raise invalid(
            "schema.fields", got=f"{len(metadata)} metadata fields", want=f"at most {rule.max_metadata} for {kind}"
        )
    usable = [item for item in metadata if item.categorical or item.textual or item.type in _NUMERIC]
    if rule.needs_metadata and not usable:
        raise invalid(
            "schema.fields",
            got=[item.name for item in schema.fields],
            want=f"at least one metadata field for {kind}: a categorical string{_or_text(kind)} or a number",
        )


def _check_item_name(schema: AvroSchema, kind: DatasetType) -> None:
    named = [item for item in schema.fields if item.item_name]
    if named and kind is not DatasetType.ITEMS:
        raise invalid("schema.fields", got=[item.name for item in named], want=f"no itemName in a schema for {kind}")
    if len(named) > 1:
        raise invalid("schema.fields", got=[item.name for item in named], want="at most one itemName field")
    for item in named:
        if item.type != "string" or item.textual or item.categorical:
            raise invalid(f"schema.{item.name}", got=item.type, want="a plain string for the itemName field")


def _or_text(kind: DatasetType) -> str:
    return ", a textual string" if kind is DatasetType.ITEMS else ""
