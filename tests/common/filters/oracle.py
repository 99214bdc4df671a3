"""Filters, tables and users at random, and what passes them, worked out row by row in plain Python.

Nothing of the package is used here: a filter is nested lists of Python's, written as text in one of its many spellings.
"""

import operator
import random
import struct

TEXTS = ["a", "b", "c", "A", 'q"\\']
INTEGERS = [0, 1, 2, 2**53, 2**53 + 1]
FLOATS = [0.1, 1.5, 2.0]
NUMBERS = [*INTEGERS, *FLOATS, -1e40]
COMPARE = {
    "=": operator.eq, "IN": operator.eq, "!=": operator.eq, "NOT IN": operator.eq, "<": operator.lt,
    "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
NEGATED = ("!=", "NOT IN")
EVENTS = ["click", "Buy", "not_taken", "Not taken"]
N_ROWS = 8
TARGETS = {
    "ItemID": ("Items", "Interactions"),
    "ActionID": ("Actions", "Action_Interactions"),
    "UserID": ("Users", "Interactions"),
}


def rounded(number):
    """Return a number as 32 bits hold it."""
    try:
        return struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


class Generator:
    """Draws what a test needs from a seed: one example costs a fraction of what strategies would take for it."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.values = {}

    def some(self, pool, most):
        return [self.random.choice(pool) for _ in range(self.random.randint(0, most))]

    def row_values(self):
        """Draw texts of T1 (several) and T2 (one), a number of I, one of 32 bits of F; any of them may be missing."""
        return {
            "T1": self.some(TEXTS, 3),
            "T2": self.some(TEXTS, 1),
            "I": self.some(INTEGERS, 1),
            "F": [rounded(number) for number in self.some(FLOATS, 1)],
        }

    def rows(self):
        return [self.row_values() for _ in range(N_ROWS)]

    def events(self):
        return {name: {self.random.randrange(N_ROWS) for _ in range(3)} for name in self.some(EVENTS, 4)}

    def operand(self, *, is_text, name, with_item):
        """Draw what a condition compares with, as a pair of a kind and what is of it."""
        constant = self.random.choice(TEXTS if is_text else NUMBERS)
        kind = self.random.choice(["constant"] * 3 + ["item"] * with_item + ["parameter"] * (name != "NOT IN"))
        if kind == "constant":
            return kind, constant
        if kind == "item":
            return kind, self.random.choice(["T1", "T2"] if is_text else ["I", "F"])
        parameter = f"{'t' if is_text else 'n'}{self.random.randint(0, 1)}"
        self.values.setdefault(parameter, constant)
        return kind, parameter

    def condition(self, *, dataset, with_item):
        """Draw a condition on a field of rows or on event types."""
        if dataset.endswith("Interactions"):
            name = self.random.choice(["=", "!=", "IN", "NOT IN"])
            return [dataset, "EVENT_TYPE", name, [("constant", self.random.choice([*EVENTS, "CLICK", "buy", "*"]))]]
        field = self.random.choice(["T1", "T2", "I", "F"])
        is_text = field.startswith("T")
        name = self.random.choice(["=", "!=", "IN", "NOT IN"] if is_text else list(COMPARE))
        count = self.random.randint(1, 3) if name in ("IN", "NOT IN") else 1
        operands = [self.operand(is_text=is_text, name=name, with_item=with_item) for _ in range(count)]
        return [dataset, field, name, operands]

    def predicate(self, depth=3, **options):
        """Draw conditions joined by AND and OR."""
        if depth == 0 or self.random.random() < 0.5:
            return self.condition(**options)
        parts = [self.predicate(depth - 1, **options) for _ in range(self.random.randint(2, 3))]
        return [self.random.choice(["AND", "OR"]), parts]

    def filter(self):
        """Draw a filter: its target, its expressions and the values of its parameters; some may be missing."""
        target = self.random.choice([*TARGETS, "ItemID", "ItemID"])
        chain = []
        for _ in range(self.random.randint(1, 4)):
            dataset = self.random.choice(TARGETS[target])
            where = self.predicate(dataset=dataset, with_item=target == "ItemID" and dataset == "Items")
            count = 0 if target == "UserID" else self.random.choice([0, 0, 1, 2])
            when = [self.condition(dataset="CurrentUser", with_item=target == "ItemID") for _ in range(count)]
            chain.append((self.random.choice(["INCLUDE", "EXCLUDE"]), where, when))
        required = {name for effect, where, when in chain if effect == "INCLUDE" for name in parameters_of(where, when)}
        is_passed = {name: name in required or self.random.random() < 0.7 for name in self.values}
        return target, chain, {name: value for name, value in self.values.items() if is_passed[name]}


def leaves(predicate):
    return [predicate] if len(predicate) == 4 else [leaf for part in predicate[1] for leaf in leaves(part)]


def parameters_of(where, when):
    drawn = [operand for leaf in [*leaves(where), *when] for operand in leaf[3]]
    return {name for kind, name in drawn if kind == "parameter"}


def literal(value):
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


def written(random, target, chain):
    """Write a filter in one of its spellings."""

    def case(word):
        return random.choice([word, word.lower(), word.upper()])

    def leaf_text(leaf):
        dataset, field, name, drawn = leaf
        texts = []
        for kind, value in drawn:
            if kind == "constant":
                texts.append(literal(value))
            else:
                texts.append(f"${value}" if kind == "parameter" else f"{case('CurrentItem')}.{case(value)}")
        is_list = name in ("IN", "NOT IN")
        joined = ",".join(texts)
        if is_list or random.random() < 0.3:
            joined = f"({joined})"
        name = case(random.choice([name, name.replace(" ", "_")]))
        return f"{case(dataset)}.{case(field)} {name} {joined}"

    def text_of(predicate, *, inside=None):
        if len(predicate) == 4:
            text = leaf_text(predicate)
            return f"({text})" if random.random() < 0.2 else text
        joiner, parts = predicate
        text = f" {case(joiner)} ".join(text_of(part, inside=joiner) for part in parts)
        # AND binds before OR, so only OR inside of AND must have parentheses.
        needs = joiner == "OR" and inside == "AND"
        return f"({text})" if needs or random.random() < 0.5 else text

    texts = []
    for effect, where, when in chain:
        text = f"{case(effect)} {case(target)} {case('WHERE')} {text_of(where)}"
        if when:
            text += f" {case('IF')} " + f" {case('AND')} ".join(map(leaf_text, when))
        texts.append(text)
    return " | ".join(texts)


class Oracle:
    """Looks at each row for itself."""

    def __init__(self, values, *, table, events, user, item):
        self.values = values
        self.table = table
        self.events = events
        self.user = user
        self.item = item

    def passing(self, chain):
        kept, removed, has_include = set(), set(), False
        for effect, where, when in chain:
            if not self.applies(where, when):
                continue
            rows = {row for row in range(len(self.table)) if self.matches(row, where)}
            if effect == "INCLUDE":
                kept, has_include = kept | rows, True
            else:
                removed |= rows
        return sorted((kept if has_include else set(range(len(self.table)))) - removed)

    def applies(self, where, when):
        if not parameters_of(where, when) <= self.values.keys():
            return False
        return not when or (self.user is not None and all(self.holds(self.user, leaf) for leaf in when))

    def matches(self, row, predicate):
        if len(predicate) == 4:
            is_event = predicate[0].endswith("Interactions")
            return self.happened(row, predicate) if is_event else self.holds(self.table[row], predicate)
        joined = [self.matches(row, part) for part in predicate[1]]
        return all(joined) if predicate[0] == "AND" else any(joined)

    def holds(self, row_values, leaf):
        _, field, name, drawn = leaf
        is_equal = any(
            COMPARE[name](value, rounded(other) if field == "F" else other)
            for value in row_values[field]
            for other in self.operands_of(drawn)
        )
        return not is_equal if name in NEGATED else is_equal

    def operands_of(self, drawn):
        for kind, value in drawn:
            if kind == "item":
                yield from [] if self.item is None else self.table[self.item][value]
            else:
                yield value if kind == "constant" else self.values[value]

    def happened(self, row, leaf):
        dataset, _, name, drawn = leaf

        def key(text):
            return text.lower().replace("_", " ") if dataset == "Action_Interactions" else text.lower()

        types = [key(value) for _, value in drawn]
        has_event = any(row in rows and ("*" in types or key(kind) in types) for kind, rows in self.events.items())
        return not has_event if name in NEGATED else has_event
