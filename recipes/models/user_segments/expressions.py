"""Attribute expressions of segment jobs: `ITEMS.genres = "Comedy" AND ITEMS.year = 1995`.

Only `=` and AND, as in Personalize. Keywords and names are taken in any case, values as they are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput

from common.errors import invalid

__all__ = ["Condition", "parse_expression"]

_GRAMMAR: Final = r"""
start: condition (_AND condition)*
condition: _ITEMS "." NAME "=" (STRING | NUMBER)
_AND: /AND(?![A-Za-z0-9_])/i
_ITEMS: /ITEMS(?=\s*\.)/i
NAME: /[A-Za-z_][A-Za-z0-9_]*/
STRING: /"([^"\\]|\\.)*"/
NUMBER: /[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?/
%import common.WS
%ignore WS
"""
_PARSER: Final = Lark(_GRAMMAR, parser="lalr")
_WANT: Final = 'conditions as ITEMS.COLUMN = "value", joined by AND'


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on an item's column, e.g. `ITEMS.genres = "Comedy"`.

    Attributes:
        column: As it was written.
        value: Text, or a number.
    """

    column: str
    value: str | float


def parse_expression(text: str) -> tuple[Condition, ...]:
    """Read an attribute expression.

    Raises:
        InvalidInput: It is none.
    """
    try:
        tree = _PARSER.parse(text)
        return tuple(_condition(child) for child in tree.children if isinstance(child, Tree))
    except (UnexpectedInput, json.JSONDecodeError) as error:
        raise invalid("itemAttributes", got=text, want=_WANT) from error


def _condition(tree: Tree[Token]) -> Condition:
    name, value = (str(child) for child in tree.children)
    return Condition(name, json.loads(value) if value.startswith('"') else float(value))
