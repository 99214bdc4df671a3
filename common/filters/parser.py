"""Reads filter expressions, the values of their parameters and the attribute expressions of segments: one grammar.

The parser is Lark's LALR with a contextual lexer, so that it takes time in proportion to the text, needs no stack for
parentheses, and a field may be named like a keyword. It knows no schema: `common.filters.check` does.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, cast

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from common.filters.expression import (
    AllOf,
    AnyOf,
    Condition,
    Constant,
    CurrentItem,
    Dataset,
    Effect,
    Expression,
    Field,
    Operand,
    Operator,
    Placeholder,
    Predicate,
    Target,
    Wildcard,
)

__all__ = ["MalformedExpression", "parse_chain", "parse_constants", "parse_predicate"]

_GRAMMAR: Final = r"""
chain: expression ("|" expression)*
expression: EFFECT TARGET _WHERE any_of [_IF user_condition (_AND user_condition)*]
?any_of: all_of (_OR all_of)*
?all_of: _term (_AND _term)*
_term: condition | "(" any_of ")"
condition: DATASET "." NAME _comparison
user_condition: CURRENT_USER "." NAME _comparison
_comparison: COMPARISON (_operand | "(" _operand ")")
    | (IN | NOT_IN) ("(" _operand ("," _operand)* ")" | current_item)
_operand: _constant | placeholder | wildcard | current_item
_constant: string | number
string: STRING
number: NUMBER
placeholder: PLACEHOLDER
wildcard: STAR
current_item: CURRENT_ITEM "." NAME
constants: _constant ("," _constant)*

EFFECT: /(INCLUDE|EXCLUDE)(?![A-Za-z0-9_])/i
TARGET: /(ItemID|ActionID|UserID)(?![A-Za-z0-9_])/i
DATASET: /(Items|Interactions|Users|Actions|Action_Interactions)(?![A-Za-z0-9_])/i
CURRENT_USER: /CurrentUser(?![A-Za-z0-9_])/i
CURRENT_ITEM: /CurrentItem(?![A-Za-z0-9_])/i
_WHERE: /WHERE(?![A-Za-z0-9_])/i
_IF: /IF(?![A-Za-z0-9_])/i
_AND: /AND(?![A-Za-z0-9_])/i
_OR: /OR(?![A-Za-z0-9_])/i
IN: /IN(?![A-Za-z0-9_])/i
NOT_IN: /NOT(\s+|_)IN(?![A-Za-z0-9_])/i
COMPARISON: /<=|>=|!=|=|<|>/
NAME: /[A-Za-z_][A-Za-z0-9_]*/
PLACEHOLDER: /\$[A-Za-z0-9_]+/
STRING: /"[^"\\]*(\\[\s\S][^"\\]*)*"/
NUMBER: /[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?/
STAR: "*"
%ignore /\s+/
"""

#: What a person calls the terminals of the grammar.
_WORDS: Final[Mapping[str, str]] = {
    "EFFECT": "INCLUDE or EXCLUDE",
    "TARGET": "ItemID or ActionID or UserID",
    "_WHERE": "WHERE",
    "_IF": "IF",
    "_AND": "AND",
    "_OR": "OR",
    "IN": "IN",
    "NOT_IN": "NOT IN",
    "COMPARISON": "one of = != < <= > >=",
    "DATASET": "a field as Items.NAME",
    "CURRENT_USER": "a field as CurrentUser.NAME",
    "CURRENT_ITEM": "CurrentItem.NAME",
    "NAME": "the name of a field",
    "STRING": "text in double quotes",
    "NUMBER": "a number",
    "PLACEHOLDER": "a parameter as $NAME",
    "STAR": "*",
    "VBAR": "|",
    "LPAR": "(",
    "RPAR": ")",
    "COMMA": ",",
    "DOT": ".",
    "$END": "the end",
}
_OPEN_TEXT: Final = re.compile(r'"[^"\\]*(?:\\[\s\S][^"\\]*)*\\?')
_GOT: Final = re.compile(r"\$?\w+|[<>=!]+|\S")
_MAX_PARAMETER_NAME: Final = 50
_DATASETS: Final = {dataset.lower(): dataset for dataset in Dataset}
_TARGETS: Final = {target.lower(): target for target in Target}


class MalformedExpression(Exception):
    """A text that is no expression.

    Args:
        position: Where, in characters from the beginning of the text.
        got: What stands there.
        want: What would have been right.
    """

    def __init__(self, position: int, *, got: str, want: str) -> None:
        super().__init__(position, got, want)
        self.position = position
        self.got = got
        self.want = want


@v_args(inline=True)
class _Builder(Transformer[Token, Any]):
    """Builds the parts of an expression from the bottom to the top, while the text is read."""

    def chain(self, *expressions: Expression) -> tuple[Expression, ...]:
        return expressions

    def expression(self, effect: Token, target: Token, where: Predicate, *when: Condition) -> Expression:
        position = _position(effect)
        return Expression(Effect(effect.upper()), _TARGETS[target.lower()], where, when, position)

    def any_of(self, *parts: Predicate) -> AnyOf:
        return AnyOf(tuple(leaf for part in parts for leaf in (part.parts if isinstance(part, AnyOf) else (part,))))

    def all_of(self, *parts: Predicate) -> AllOf:
        return AllOf(tuple(leaf for part in parts for leaf in (part.parts if isinstance(part, AllOf) else (part,))))

    def condition(self, dataset: Token, name: Token, operator: Token, *operands: Operand) -> Condition:
        field = Field(_DATASETS[dataset.lower()], str(name))
        return Condition(field, _operator(operator), operands, _position(dataset))

    def user_condition(self, user: Token, name: Token, operator: Token, *operands: Operand) -> Condition:
        return Condition(Field(Dataset.USERS, str(name)), _operator(operator), operands, _position(user))

    def string(self, token: Token) -> Constant:
        try:
            # Line breaks and tabs are taken as they are: values of a CSV file may have them.
            value: str = json.loads(token, strict=False)
            value.encode()
        except (json.JSONDecodeError, UnicodeEncodeError) as error:
            want = r"text in double quotes, with \" for a quote, \\ for a backslash and JSON's other escapes"
            raise MalformedExpression(_position(token), got=str(token), want=want) from error
        return Constant(value, _position(token))

    def number(self, token: Token) -> Constant:
        value = float(token)
        if not math.isfinite(value):
            want = "a number of at most 1.797e308"
            raise MalformedExpression(_position(token), got=str(token), want=want)
        is_whole = token.lstrip("+-").isdigit()
        return Constant(int(token) if is_whole else value, _position(token))

    def placeholder(self, token: Token) -> Placeholder:
        if len(token) > _MAX_PARAMETER_NAME + 1:
            want = f"a parameter whose name has at most {_MAX_PARAMETER_NAME} characters"
            raise MalformedExpression(_position(token), got=str(token), want=want)
        return Placeholder(str(token[1:]), _position(token))

    def wildcard(self, token: Token) -> Wildcard:
        return Wildcard(_position(token))

    def current_item(self, item: Token, name: Token) -> CurrentItem:
        return CurrentItem(str(name), _position(item))

    def constants(self, *constants: Constant) -> tuple[Constant, ...]:
        return constants


_PARSER: Final = Lark(
    _GRAMMAR,
    parser="lalr",
    lexer="contextual",
    start=["chain", "any_of", "constants"],
    maybe_placeholders=False,
    transformer=_Builder(),
)


def parse_chain(text: str) -> tuple[Expression, ...]:
    """Read the expressions of a filter.

    Args:
        text: At most a few thousand characters: parentheses become levels of the result.

    Raises:
        MalformedExpression: It is none.
    """
    return cast("tuple[Expression, ...]", _parse(text, "chain"))


def parse_predicate(text: str) -> Predicate:
    """Read conditions without anything around them; see `parse_chain`."""
    return cast("Predicate", _parse(text, "any_of"))


def parse_constants(text: str) -> tuple[Constant, ...]:
    """Read text in double quotes and numbers, at least one, separated by commas; see `parse_chain`."""
    return cast("tuple[Constant, ...]", _parse(text, "constants"))


def _parse(text: str, start: str) -> object:
    try:
        return _PARSER.parse(text, start=start)
    except UnexpectedInput as error:
        raise _malformed(text, error) from error


def _malformed(text: str, error: UnexpectedInput) -> MalformedExpression:
    terminals: set[str] = set()
    position: int | None = None
    if isinstance(error, UnexpectedCharacters):
        position, terminals = error.pos_in_stream, set(error.allowed or ())
    elif isinstance(error, UnexpectedToken):
        terminals = set(error.expected)
        if error.token.type != "$END":
            position = error.token.start_pos
    if position is None:
        position = len(text)
    got = _GOT.match(text, position)
    shown = got[0] if got else text[position : position + 1]
    want = " or ".join(words for terminal, words in _WORDS.items() if terminal in terminals)
    if shown == '"' and "STRING" in terminals:
        open_text = _OPEN_TEXT.match(text, position)
        shown, want = open_text[0] if open_text else shown, "text that ends with a double quote"
    return MalformedExpression(position, got=shown, want=want)


def _operator(token: Token) -> Operator:
    return Operator.NOT_IN if token.type == "NOT_IN" else Operator(token.upper())


def _position(token: Token) -> int:
    """Return where a token begins; only tokens that were made by hand have no place."""
    return token.start_pos or 0
