"""Reads a file of either format, checks all of it, and says where in the file each mistake is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cli.declaration.aws_solution import is_aws_configuration, translate
from cli.declaration.document import Document, Place, read_document
from cli.declaration.model import Configuration
from common.errors import FieldViolation, InvalidInput

__all__ = ["Declaration", "load"]

_SHOWN = 80
_WANTS: Mapping[str, str] = {
    "extra_forbidden": "no such member",
    "missing": "this member",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "list_type": "a list",
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "an integer",
    "float_type": "a number",
}


@dataclass(frozen=True, slots=True)
class Declaration:
    """A checked file.

    Attributes:
        configuration: What it declares.
        notes: What of AWS's format is not kept, or not as it was.
    """

    configuration: Configuration
    notes: tuple[str, ...]
    _document: Document
    _origins: Mapping[Place, Place] = field(default_factory=dict)

    def where(self, place: Place) -> str:
        """Return a place of the declaration as it is in the file, with its line."""
        return _where(self._document, self._origins, place)


def load(path: Path, *, buckets: Path | None) -> Declaration:
    """Read a declaration in our format, or in that of AWS's retired solution, which is told by its shape.

    Args:
        path: The file.
        buckets: Folder whose sub-folders are the buckets of `s3://`; None if they are not on this machine.

    Raises:
        InvalidInput: The file cannot be read, or something in it is wrong; the message names every mistake with its
            place and line.
    """
    document = read_document(path)
    data = document.data
    notes: tuple[str, ...] = ()
    origins: Mapping[Place, Place] = {}
    try:
        if is_aws_configuration(data):
            translation = translate(document, path.resolve().parent, buckets=buckets)
            data, notes, origins = translation.data, tuple(translation.notes), translation.origins
        configuration = Configuration.model_validate({} if data is None else data)
    except ValidationError as error:
        raise _to_invalid_input(error, document, origins) from error
    return Declaration(configuration, notes, document, origins)


def _to_invalid_input(error: ValidationError, document: Document, origins: Mapping[Place, Place]) -> InvalidInput:
    violations = [
        FieldViolation(_where(document, origins, _visible(item["loc"])), _description(item))
        for item in error.errors(include_url=False, include_context=False)
    ]
    # A name that is wrong is reported under its value and under itself.
    distinct = {(item.field, item.description): item for item in violations}
    return InvalidInput(
        "\n".join(f"`{item.field}`: {item.description}" for item in distinct.values()), violations=distinct.values()
    )


def _visible(place: Place) -> Place:
    """Return a place without the steps that pydantic adds: which type of several it tried, and that a key is meant."""
    return tuple(step for step in place if step not in ("[key]", "dict[str,any]", "str"))


def _where(document: Document, origins: Mapping[Place, Place], place: Place) -> str:
    for length in range(len(place), 0, -1):
        if (origin := origins.get(place[:length])) is not None:
            return document.where((*origin, *place[length:]))
    return document.where(place)


def _description(item: Any) -> str:
    shown = repr(item["input"])
    if len(shown) > _SHOWN:
        shown = f"{shown[: _SHOWN - 3]}..."
    kind, message = item["type"], item["msg"]
    if kind in ("missing", "missing_member", "twice", "train"):
        return "got none, want this member" if kind == "missing" else str(message)
    want = _WANTS.get(kind) or message.removeprefix("Input should be ").removeprefix("String should ")
    return f"got {shown}, want {want[0].lower()}{want[1:]}"
