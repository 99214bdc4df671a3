"""Reads YAML and JSON within bounds, and remembers the line of every value, for messages.

YAML is read by the rules of YAML 1.2 for plain words: `no` and `on` are text, only `true` and `false` are booleans, and
nothing is a date. Aliases are expanded within the same bound on the number of values as everything else, so that a
small file cannot stand for a huge one; tags, which could name types of Python, are refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from common.errors import InvalidInput, invalid
from common.json_text import is_unicode, read_json

__all__ = ["Document", "Place", "dump_yaml", "place_text", "read_document"]

#: Keys and indices from the top of a document to a value.
Place = tuple[str | int, ...]

_MAX_BYTES: Final = 1 << 20
_MAX_VALUES: Final = 100_000
#: A value has one key at most. Counted before anything is built, which takes much longer than reading.
_MAX_NODES: Final = 2 * _MAX_VALUES
_MAX_DEPTH: Final = 40
_PREFIX: Final = "tag:yaml.org,2002:"
_PLAIN_WORDS: Final = (
    ("null", re.compile(r"(?:~|null|)\Z"), ["~", "n", ""]),
    ("bool", re.compile(r"(?:true|false)\Z"), ["t", "f"]),
    ("int", re.compile(r"[-+]?[0-9]+\Z"), list("-+0123456789")),
    ("float", re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z"), list("-+.0123456789")),
)
_LARGEST_INTEGER: Final = 2**63


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says.

    Attributes:
        data: Mappings with text as keys, lists, and single values.
        lines: Line of each value, from 1, by its place; empty where they cannot be told.
    """

    data: Any
    lines: Mapping[Place, int]

    def where(self, place: Place) -> str:
        """Return a place for a message, with its line or that of the closest value around it."""
        for length in range(len(place), -1, -1):
            if (line := self.lines.get(place[:length])) is not None:
                return f"{place_text(place)} (line {line})"
        return place_text(place)


def place_text(place: Place) -> str:
    """Return a place as text, e.g. `datasetGroups.films.tags[0]`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.removeprefix(".") or "file"


def read_document(path: Path) -> Document:
    """Read a file: JSON if its name ends in `.json`, else YAML.

    Raises:
        InvalidInput: It cannot be read, is too large, or is not such a document; the message names the line.
    """
    try:
        with path.open("rb") as file:
            encoded = file.read(_MAX_BYTES + 1)
        if len(encoded) > _MAX_BYTES:
            raise invalid("file", got=f"{path}, which is larger", want=f"at most {_MAX_BYTES:,} bytes")
        text = encoded.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"`file`: got {path}, which cannot be read ({error}), want YAML or JSON in UTF-8") from error
    return _read_json(text) if path.suffix.lower() == ".json" else _read_yaml(text)


def dump_yaml(data: Any) -> str:
    """Return a document as YAML that this module and readers of YAML 1.1 understand alike."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


#: The parser in C is ten times as fast; PyYAML can be installed without it.
_Parser: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class _Loader(_Parser):  # type: ignore[misc]  # one of two classes
    """Reads nodes; their values are made by `_Builder`."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's stubs call it an attribute of instances


class _Dumper(yaml.SafeDumper):
    """Quotes every text that either version of YAML would take for something else."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as above
        key: list(value) for key, value in yaml.SafeDumper.yaml_implicit_resolvers.items()
    }

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature of PyYAML
        """Write equal parts out each time: people edit this file."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Outside of double quotes readers take "next line" for a line break, and fold it into a space.
    style = '"' if "\x85" in text else None
    return dumper.represent_scalar(f"{_PREFIX}str", text, style=style)


_Dumper.add_representer(str, _represent_text)
for _name, _pattern, _first in _PLAIN_WORDS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_PREFIX + _name, _pattern, _first)


def _read_yaml(text: str) -> Document:
    builder = _Builder()
    return Document(builder.build(_compose(text)), builder.lines)


def _read_json(text: str) -> Document:
    data = read_json(text, field="file", max_length=_MAX_BYTES, max_depth=_MAX_DEPTH)
    # JSON is YAML but for tabs, which it allows between values only. Its lines are told by the same reader, which also
    # sees names that come twice; the values are those of the JSON parser.
    builder = _Builder(checks_unicode=False)
    try:
        node = _nodes(text.replace("\t", " "))
    except yaml.YAMLError:
        # Longer names, or stranger breaks of lines, than YAML has.
        return Document(data, {})
    builder.build(node)
    return Document(data, builder.lines)


def _nodes(text: str) -> yaml.Node | None:
    """Return the top node of a text.

    Raises:
        InvalidInput: There are too many nodes, or they are nested too deeply.
        yaml.YAMLError: The text is no YAML.
    """
    count = depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            count += 1
            depth += isinstance(event, yaml.CollectionStartEvent)
        if count > _MAX_NODES:
            raise _too_many()
        # A value at the greatest depth may itself be a list, which the builder looks at.
        if depth > _MAX_DEPTH + 1:
            mark = event.start_mark
            raise _too_deep("file" if mark is None else f"file (line {mark.line + 1})")
    return yaml.compose(text, Loader=_Loader)


def _compose(text: str) -> yaml.Node | None:
    try:
        return _nodes(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f" (line {mark.line + 1})"
        raise InvalidInput(f"`file`{line}: got {error.problem or error.context}, want YAML or JSON") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"`file`: got text that is no YAML or JSON ({error})") from error
    except (ValueError, OverflowError) as error:
        # The parser converts the numbers of escapes and directives without looking at their size.
        raise InvalidInput("`file`: got an escape or a directive with too large a number, want YAML or JSON") from error


@dataclass(slots=True)
class _Builder:
    """Makes values of nodes, and counts them.

    Attributes:
        checks_unicode: Whether text must be Unicode: JSON writes characters as halves that only its own parser joins.
        lines: Line of each value by its place.
    """

    checks_unicode: bool = True
    lines: dict[Place, int] = field(default_factory=dict)
    _values: int = 0

    def build(self, node: yaml.Node | None, place: Place = ()) -> Any:
        """Return the value of a node.

        Raises:
            InvalidInput: There are too many values, they are nested too deeply, a key comes twice or is no text, or a
                value has a tag.
        """
        if node is None:
            return None
        line = node.start_mark.line + 1
        # A key shows better where something is than the value behind it.
        self.lines.setdefault(place, line)
        self._values += 1
        if self._values > _MAX_VALUES:
            raise _too_many()
        if len(place) > _MAX_DEPTH:
            raise _too_deep(f"{place_text(place)[:60]} (line {line})")
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_PREFIX}map":
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_PREFIX}seq":
            return [self.build(item, (*place, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            value = _scalar(node, f"{place_text(place)} (line {line})")
            if self.checks_unicode and isinstance(value, str) and not is_unicode(value):
                raise invalid(f"{place_text(place)} (line {line})", got=value, want="Unicode, without surrogates")
            return value
        raise invalid(f"{place_text(place)} (line {line})", got=node.tag, want="no tag")

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            where = f"{place_text(place)} (line {line})"
            if not isinstance(key_node, yaml.ScalarNode):
                raise invalid(where, got="a key that is a list or mapping", want="text")
            key = key_node.value
            if key in mapping:
                raise invalid(where, got=f"{key} twice", want="every key once")
            self.lines.setdefault((*place, key), line)
            mapping[key] = self.build(value_node, (*place, key))
        return mapping


def _scalar(node: yaml.ScalarNode, where: str) -> Any:
    text = node.value
    kind = node.tag.removeprefix(_PREFIX)
    if kind == "str":
        return text
    if kind == "null" and not text.strip("~nul"):
        return None
    if kind == "bool" and text in ("true", "false"):
        return text == "true"
    if kind in ("int", "float"):
        try:
            number = int(text) if kind == "int" else float(text)
        except ValueError as error:
            raise invalid(where, got=text, want="a number") from error
        if isinstance(number, float) and not math.isfinite(number):
            raise invalid(where, got=text, want="a finite number")
        if isinstance(number, int) and not -_LARGEST_INTEGER <= number < _LARGEST_INTEGER:
            raise invalid(where, got=text, want="an integer of 64 bits")
        return number
    raise invalid(where, got=f"{node.tag} {json.dumps(text)}", want="no tag")


def _too_many() -> InvalidInput:
    return invalid("file", got="more values, counting each alias", want=f"at most {_MAX_VALUES:,}")


def _too_deep(where: str) -> InvalidInput:
    return invalid(where, got="deeper nesting", want=f"at most {_MAX_DEPTH} levels")
