"""Keep configurations and evaluations as protobuf's JSON of their messages, and those of unfinished jobs too.

Before, configurations had Personalize's own form. Three things differ: enums have other names, lists within maps are
messages, and a list or map that was sent empty is named in `emptyMembers` of the message that it belongs to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_SENSITIVITY: Final = "OBJECTIVE_SENSITIVITY_"
_COLUMNS: Final = ("excludedDatasetColumns", "includedDatasetColumns")
#: The messages within a configuration that name their empty members, by the path to them; `*` is every entry of a list.
_SOLUTION_PARTS: Final = (
    (),
    ("autoMLConfig",),
    ("eventsConfig",),
    ("trainingDataConfig",),
    ("hpoConfig", "algorithmHyperParameterRanges"),
    ("hpoConfig", "algorithmHyperParameterRanges", "categoricalHyperParameterRanges", "*"),
)
_CAMPAIGN_PARTS: Final = ((),)
#: Members that are maps; all other members that hold several values are lists.
_MAPS: Final = frozenset(
    {
        "algorithmHyperParameters", "featureTransformationParameters", "itemExplorationConfig", "rankingInfluence",
        *_COLUMNS,
    }
)  # fmt: skip

_Document = dict[str, Any]


def upgrade() -> None:
    _change("solution", "arn", "solution_config", _solution_message)
    _change("solution_version", "arn", "solution_config", _solution_message)
    _change("deployment", "id", "campaign_config", lambda document: _name_empty(document, _CAMPAIGN_PARTS))
    _change("solution_version", "arn", "evaluation", lambda document: _rename(document, _camel_case))
    _change("job", "id", "payload", _payload_message)


def downgrade() -> None:
    _change("job", "id", "payload", _payload_document)
    _change("solution_version", "arn", "evaluation", lambda document: _rename(document, _snake_case))
    _change("deployment", "id", "campaign_config", lambda document: _hold_empty(document, _CAMPAIGN_PARTS))
    _change("solution_version", "arn", "solution_config", _solution_document)
    _change("solution", "arn", "solution_config", _solution_document)


def _change(table_name: str, key: str, column: str, convert: Callable[[_Document], _Document]) -> None:
    """Replace the JSON of a column row by row, where there is any."""
    table = sa.table(table_name, sa.column(key, sa.String()), sa.column(column, sa.JSON(none_as_null=True)))
    connection = op.get_bind()
    for row_key, document in connection.execute(sa.select(table.c[key], table.c[column])).all():
        if document is not None:
            connection.execute(table.update().where(table.c[key] == row_key).values({column: convert(document)}))


def _solution_message(document: _Document) -> _Document:
    message = _name_empty(document, _SOLUTION_PARTS)
    if sensitivity := message.get("optimizationObjective", {}).get("objectiveSensitivity"):
        message["optimizationObjective"]["objectiveSensitivity"] = _SENSITIVITY + sensitivity
    columns = message.get("trainingDataConfig", {})
    for member in _COLUMNS:
        if member in columns:
            columns[member] = {kind: {"values": names} for kind, names in columns[member].items()}
    return message


def _solution_document(message: _Document) -> _Document:
    document = _hold_empty(message, _SOLUTION_PARTS)
    if sensitivity := document.get("optimizationObjective", {}).get("objectiveSensitivity"):
        document["optimizationObjective"]["objectiveSensitivity"] = sensitivity.removeprefix(_SENSITIVITY)
    columns = document.get("trainingDataConfig", {})
    for member in _COLUMNS:
        if member in columns:
            columns[member] = {kind: names.get("values", []) for kind, names in columns[member].items()}
    return document


def _payload_message(payload: _Document) -> _Document:
    if "solution_config_json" not in payload:
        return payload
    rest = {key: value for key, value in payload.items() if key != "solution_config_json"}
    return {**rest, "solution_config": _solution_message(json.loads(payload["solution_config_json"] or "{}"))}


def _payload_document(payload: _Document) -> _Document:
    if "solution_version_arn" not in payload:
        return payload
    rest = {key: value for key, value in payload.items() if key != "solution_config"}
    document = _solution_document(_rename(payload.get("solution_config", {}), _camel_case))
    return {**rest, "solution_config_json": json.dumps(document)}


def _name_empty(document: _Document, parts: tuple[tuple[str, ...], ...]) -> _Document:
    """Return a copy in which some parts name their empty lists and maps."""
    copy: _Document = json.loads(json.dumps(document))
    for path in parts:
        for part in _find(copy, path):
            # An empty object may also be an empty message, which is sent and kept as such.
            empty = [member for member, value in part.items() if value == [] or (value == {} and member in _MAPS)]
            for member in empty:
                del part[member]
            if empty:
                part["emptyMembers"] = empty
    return copy


def _hold_empty(message: _Document, parts: tuple[tuple[str, ...], ...]) -> _Document:
    """Return a copy in which some parts have the empty lists and maps that they name."""
    copy: _Document = json.loads(json.dumps(message))
    for path in parts:
        for part in _find(copy, path):
            for member in part.pop("emptyMembers", ()):
                part.setdefault(member, {} if member in _MAPS else [])
    return copy


def _find(document: Any, path: tuple[str, ...]) -> list[_Document]:
    found = [document]
    for step in path:
        if step == "*":
            found = [entry for entries in found for entry in entries]
        else:
            found = [part[step] for part in found if isinstance(part, dict) and step in part]
    return [part for part in found if isinstance(part, dict)]


def _rename(value: Any, change: Callable[[str], str]) -> Any:
    """Return JSON with other keys; of maps, whose keys are a user's, with the same."""
    if isinstance(value, list):
        return [_rename(item, change) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        change(key): item if change(key) in _MAPS and isinstance(item, Mapping) else _rename(item, change)
        for key, item in value.items()
    }


def _camel_case(name: str) -> str:
    if name in ("auto_ml_config", "autoMLConfig"):
        return "autoMLConfig"
    first, *others = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in others)


def _snake_case(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
