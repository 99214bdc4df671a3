"""What filters of one model are evaluated over: the rows of features, and the model's items among them.

Items that came after the model have indexes behind its own, see `inference.new_items`. Items that the features do not
have are rows of their own, without values. Behind them come some rows that stand for nothing yet: a request gives them
to ids that neither has.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from common.features import Features
from common.filters import CompiledFilter, Filter, Rows, Table, compile_filter, parse_filter_values, rows_of
from common.logs import get_logger
from common.vocabulary import Vocabulary
from inference.candidates import Bitmap, CandidateSet, ItemList
from inference.new_items import NewIds
from inference.used_items import UsedItems
from recipes.retrieval.scan import ScanIndex

__all__ = ["FilterTable", "Passing", "StaticPart"]

_log = get_logger(__name__)
#: Ids of a request that neither the model nor the features have: as many as a ranking may name.
_SPARE_ROWS: Final = 500
#: Filters with values that are kept, and the bytes that they may take beside their searches.
_KEPT, _KEPT_BYTES, _LEAST_KEPT = 256, 64 << 20, 8
#: What passes a filter that is used again has a search of its own where it is this many, up to this part of all.
_LEAST_SEARCHED, _SEARCHED_PART = 1_000, 2
#: Bytes that such searches may take, all of them and one.
_SEARCHES_BYTES, _SEARCH_BYTES = 64 << 20, 16 << 20
#: A filter for whose search there is no room takes the place of another one once it was used so often: a search costs
#: about as much to make as it saves in so many requests, and more filters than there is room for may be used in turn.
_DISPLACING_USES: Final = 32
#: Compiled anew aside whenever the features change: those that were used last.
_RECOMPILED: Final = 32
_KEPT_ROWS: Final = 200_000

#: A filter's ARN and expression, and the values of its parameters as they were sent: they need not be read again.
_CompiledFor = tuple[str, str, frozenset[tuple[str, str]]]
_NOTHING: Final = rows_of(np.empty(0, np.uint32))
_NO_ROWS: Final = np.empty(0, np.int32)
#: Where a request removes more than this part of the items, an array of all of them costs less than a list.
_FEW_REMOVED: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class StaticPart:
    """What of a filter with values does not depend on the request.

    Attributes:
        definition: The filter.
        sent: The values of its parameters, as they were sent.
        compiled: The same, bound to the table.
        candidates: Items that pass before a request adds anything, those that came after the model included.
    """

    definition: Filter
    sent: Mapping[str, str]
    compiled: CompiledFilter
    candidates: Bitmap


@dataclass(frozen=True, slots=True, eq=False)
class FilterTable:
    """See the module; immutable but for what it keeps of earlier requests, and used by one thread then.

    Attributes:
        items: Ids of the model, of items or of actions.
        features: Rows and columns; None where the group has no such dataset.
        table: The same with the other rows.
        new_ids: Indexes of items that came after the model; None where nothing comes after it.
        row_of_item: int32 [n_items + new items].
        item_of_row: int32 [rows], -1 where the model has none.
        first_spare: The first row that stands for nothing.
        scan: Searches all items of the model; None where it has no such search.
    """

    items: Vocabulary
    features: Features | None
    table: Table
    new_ids: NewIds | None
    row_of_item: NDArray[np.int32]
    item_of_row: NDArray[np.int32]
    first_spare: int
    scan: ScanIndex | None = None
    _static: OrderedDict[_CompiledFor, StaticPart] = field(default_factory=OrderedDict)
    _rows: dict[str, int] = field(default_factory=dict)
    #: Filters whose search is being made, or was.
    _used_again: set[_CompiledFor] = field(default_factory=set)
    #: How often filters for whose search there was no room were used again.
    _n_uses: dict[_CompiledFor, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        items: Vocabulary,
        features: Features | None,
        *,
        new_ids: NewIds | None = None,
        scan: ScanIndex | None = None,
        before: FilterTable | None = None,
        recent: Sequence[tuple[str, StaticPart]] = (),
    ) -> Self:
        """Bind a model's ids, and those that came after it, to features.

        Args:
            items: Ids of the model.
            features: What filters read.
            new_ids: Gives indexes to items that the features have and the model has not; None where there is no place
                for such.
            scan: Searches all items of the model.
            before: A table of the same model. Where its features are of the same snapshot, what is done is in
                proportion to what was put since, but for copies of arrays.
            recent: Filters to compile at once, with their ARNs: of `before`, if there is one.
        """
        n_uses = {} if before is None else before._n_uses  # noqa: SLF001 -- of the same class
        if before is not None and not _continues(before.features, features):
            before = None
        row_of_item = _bound_rows(items, features, new_ids, before)
        n_rows = 0 if features is None else features.n_rows
        missing = np.flatnonzero(row_of_item < 0)
        first_spare = n_rows + len(missing)
        row_of_item[missing] = np.arange(n_rows, first_spare, dtype=np.int32)
        item_of_row = np.full(first_spare + _SPARE_ROWS, -1, np.int32)
        item_of_row[row_of_item] = np.arange(len(row_of_item), dtype=np.int32)
        table = Table(len(item_of_row), {} if features is None else features.table.columns)
        made = cls(items, features, table, new_ids, row_of_item, item_of_row, first_spare, scan)
        for filter_arn, part in recent:
            try:
                made.keep_part(filter_arn, made.compiled(part.definition, part.sent, before=part.candidates))
                key = _key(filter_arn, part.definition, part.sent)
                made._n_uses[key] = n_uses.get(key, 0)
            except Exception as error:  # noqa: BLE001 -- whoever names the filter is told; everybody else goes on
                _log.warning("filter_not_compiled", filter_arn=filter_arn, cause=repr(error))
        return made

    @property
    def n_items(self) -> int:
        """How many ids there are: the model's, and those that came after it."""
        return len(self.row_of_item)

    def compiled(self, definition: Filter, sent: Mapping[str, str], *, before: Bitmap | None = None) -> StaticPart:
        """Work out what of a filter with values does not depend on the request; any thread may.

        Args:
            definition: The filter.
            sent: The values of its parameters.
            before: What passed it in another table of the same model.

        Raises:
            InvalidInput: The values are wrong.
        """
        compiled = compile_filter(definition, self.table, parse_filter_values(definition, sent))
        candidates, n_items = Bitmap(self.allowed(compiled.passing)), len(self.items)
        part = StaticPart(definition, sent, compiled, candidates)
        if before is None or before.scan is None or not self._is_worth_a_search(candidates):
            return part
        if np.array_equal(before.allowed[:n_items], candidates.allowed[:n_items]):
            return replace(part, candidates=replace(candidates, scan=before.scan))
        return self.searched(part)

    def searched(self, part: StaticPart) -> StaticPart:
        """Return the same with a search of what passes; any thread may call it, where `may_be_searched` says so."""
        assert self.scan is not None
        return replace(part, candidates=replace(part.candidates, scan=self.scan.narrowed(part.candidates.allowed)))

    def may_be_searched(self, filter_arn: str, part: StaticPart) -> bool:
        """Return, for a filter with values that is used again, whether a search of what passes is to be made now.

        So it is once, unless what was made for the filter was given up since: at its next use where there is room, and
        where there is none once it was used often enough to take the room of others.
        """
        key = _key(filter_arn, part.definition, part.sent)
        if part.candidates.scan is not None or key in self._used_again or not self._is_worth_a_search(part.candidates):
            return False
        assert self.scan is not None
        n_uses = self._n_uses[key] = self._n_uses.get(key, 0) + 1
        size = part.candidates.count(len(self.items)) * self.scan.bytes_per_item
        has_room = size + sum(_search_bytes(one) for one in self._static.values()) <= _SEARCHES_BYTES
        if not has_room and n_uses < _DISPLACING_USES:
            return False
        self._n_uses[key] = 0
        self._used_again.add(key)
        return True

    def _is_worth_a_search(self, candidates: Bitmap) -> bool:
        """Return whether a search of what passes saves more than it takes."""
        n_items, count = len(self.items), candidates.count(len(self.items))
        if self.scan is None or count * self.scan.bytes_per_item > _SEARCH_BYTES:
            return False
        return _LEAST_SEARCHED <= count <= n_items // _SEARCHED_PART

    def kept_part(self, filter_arn: str, definition: Filter, sent: Mapping[str, str]) -> StaticPart | None:
        """Return what was worked out before; None for nothing."""
        key = _key(filter_arn, definition, sent)
        part = self._static.get(key)
        if part is not None:
            self._static.move_to_end(key)
        return part

    def keep_part(self, filter_arn: str, part: StaticPart) -> StaticPart:
        """Keep what was worked out, in the place of what was used longest ago.

        Searches take far more room than what else is kept of filters: they make room for searches alone.
        """
        self._static[_key(filter_arn, part.definition, part.sent)] = part
        while len(self._static) > max(_LEAST_KEPT, min(_KEPT, _KEPT_BYTES // max(self.n_items, 1))):
            key, _ = self._static.popitem(last=False)
            self._used_again.discard(key)
            self._n_uses.pop(key, None)
        taken = sum(_search_bytes(one) for one in self._static.values())
        for key, one in self._static.items():
            if taken <= _SEARCHES_BYTES:
                break
            if one.candidates.scan is not None:
                taken -= _search_bytes(one)
                self._static[key] = replace(one, candidates=replace(one.candidates, scan=None))
                self._used_again.discard(key)
        return part

    def keep_searched(self, filter_arn: str, part: StaticPart, searched: StaticPart) -> None:
        """Keep a part with its search in the place of the same one without, if that is kept still."""
        if self._static.get(_key(filter_arn, part.definition, part.sent)) is part:
            self.keep_part(filter_arn, searched)

    def recent_parts(self) -> list[tuple[str, StaticPart]]:
        """Return the filters that were used last, with their ARNs, for another table of the same model."""
        return [(key[0], part) for key, part in list(self._static.items())[-_RECOMPILED:]]

    def spares(self, identifiers: Sequence[str]) -> dict[str, int]:
        """Return rows for ids that neither the model nor the features have, at most 500 of them."""
        unknown = [identifier for identifier in identifiers if self.row(identifier) is None]
        return {identifier: self.first_spare + place for place, identifier in enumerate(unknown)}

    def allowed(self, rows: Rows) -> NDArray[np.bool_]:
        """Return which items are among some rows: bool [n_items + new items], a new array."""
        mask = np.zeros(self.table.n_rows, bool)
        mask[_array(rows)] = True
        chosen: NDArray[np.bool_] = mask[self.row_of_item]
        return chosen

    def row(self, identifier: str) -> int | None:
        """Return the row of an id; None for one that neither the model nor the features have."""
        row = self._rows.get(identifier)
        if row is None:
            item = self.items.index(identifier)
            if item is None and self.new_ids is not None:
                item = self.new_ids.index(identifier)
            if item is not None and item < len(self.row_of_item):
                row = int(self.row_of_item[item])
            elif self.features is not None:
                row = self.features.row(identifier)
            if row is not None:
                if len(self._rows) >= _KEPT_ROWS:
                    self._rows.clear()
                self._rows[identifier] = row
        return row

    def feature_row(self, identifier: str) -> int | None:
        """Return the row of an id in the features; None for one that they do not have."""
        row = self.row(identifier)
        return None if self.features is None or row is None or row >= self.features.n_rows else row

    def text(self, identifier: str, name: str) -> str:
        """Return a value as metadata columns show it; empty for none."""
        row = self.feature_row(identifier)
        return "" if self.features is None or row is None else self.features.text(row, name) or ""

    def events(self, used: UsedItems, *, spares: Mapping[str, int]) -> dict[str, Rows]:
        """Return the rows of what a user used, by event type.

        Args:
            used: What it was.
            spares: Rows of ids that neither the model nor the features have.
        """
        rows_by_type = {name: self.row_of_item[items] for name, items in used.items.items()}
        for name, identifiers in used.ids.items():
            rows = [self.row(identifier) for identifier in identifiers]
            rows += [spares.get(identifier) for identifier, row in zip(identifiers, rows, strict=True) if row is None]
            rows_by_type[name] = np.append(
                rows_by_type.get(name, _NO_ROWS), np.array([row for row in rows if row is not None], np.int32)
            )
        return {name: rows_of(np.sort(rows)) for name, rows in rows_by_type.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Passing:
    """The rows that pass a filter in a request.

    Attributes:
        table: What it was evaluated over.
        static: What of it does not depend on the request.
        removed: Those of `static` that do not pass in this request, and some that never did.
        chosen: Those that pass, where the request lets more pass than `static`; None where it does not.
    """

    table: FilterTable
    static: StaticPart
    removed: Rows = _NOTHING
    chosen: Rows | None = None

    def candidates(self) -> CandidateSet:
        """Return the items that pass, those that came after the model included."""
        static, table = self.static, self.table
        if self.chosen is not None:
            return Bitmap(table.allowed(self.chosen))
        if len(self.removed) > table.n_items // _FEW_REMOVED:
            return Bitmap(table.allowed(static.compiled.passing - self.removed))
        items = table.item_of_row[_array(self.removed)]
        return static.candidates.without(np.sort(items[items >= 0]))

    def keep(self, listed: ItemList, *, spares: Mapping[str, int]) -> ItemList:
        """Return those of a list that pass.

        Args:
            listed: Items that the caller names.
            spares: Rows of ids that neither the model nor the features have.
        """
        table = self.table
        passes = np.array([self._passes(row) for row in table.row_of_item[listed.listed].tolist()], bool)
        rows_of = [(name, table.row(name)) for name in listed.unknown_ids]
        unknown_ids = [name for name, row in rows_of if self._passes(spares[name] if row is None else row)]
        return ItemList(listed.listed[passes], unknown_ids)

    def _passes(self, row: int) -> bool:
        if self.chosen is not None:
            return row in self.chosen
        return row in self.static.compiled.passing and row not in self.removed


def _continues(before: Features | None, features: Features | None) -> bool:
    """Return whether features have the rows of those before them, and perhaps further ones."""
    if before is None or features is None:
        return before is features
    return features.extends(before)


def _bound_rows(
    items: Vocabulary, features: Features | None, new_ids: NewIds | None, before: FilterTable | None
) -> NDArray[np.int32]:
    """Return the row of each item in the features, -1 for none: int32 [n_items + new items], a new array."""
    n_items = len(items)
    if new_ids is not None and before is None:  # rows go with their snapshot alone
        # Before others come, which may need the room.
        ids = new_ids.ids()
        new_ids.leave(
            n_items + place for place, name in enumerate(ids) if features is None or features.row(name) is None
        )
    if before is not None:
        # What had no row was behind the rows of the features, and has none yet.
        n_before = 0 if before.features is None else before.features.n_rows
        rows_before = np.where(before.row_of_item < n_before, before.row_of_item, np.int32(-1))
    elif features is not None and features.snapshot is not None:
        n_before, rows_before = features.snapshot.n_rows, features.snapshot.ids.indexes_of(items)
        if new_ids is not None:
            others = np.ones(n_before, bool)
            others[rows_before[rows_before >= 0]] = False
            places = np.flatnonzero(others)
            listed = features.snapshot.ids.ids(places[: new_ids.most].tolist())
            new_ids.add(listed, n_unnamed=len(places) - len(listed))
    else:
        n_before, rows_before = 0, np.full(n_items, -1, np.int32)
    put = range(n_before, n_before if features is None else features.n_rows)
    put_ids = [] if features is None else [features.id(row) for row in put]
    put_items = items.indexes(put_ids)
    if new_ids is not None:
        new_ids.add(put_ids[place] for place in np.flatnonzero(put_items < 0).tolist())
    rows = np.full(n_items + (0 if new_ids is None else len(new_ids)), -1, np.int32)
    rows[: len(rows_before)] = rows_before
    has_item = put_items >= 0
    rows[put_items[has_item]] = np.array(put, np.int32)[has_item]
    if new_ids is not None and features is not None:
        for row, item_id in zip(put, put_ids, strict=True):
            if (index := new_ids.index(item_id)) is not None and index < len(rows):
                rows[index] = row
        # Those that another table gave indexes to, or that this one knew before there was the snapshot.
        for index, item_id in enumerate(new_ids.ids(len(rows_before) - n_items)[: len(rows) - len(rows_before)]):
            # An index that nobody holds any more bears the id that it had.
            place = len(rows_before) + index
            row_of_id = features.row(item_id) if new_ids.index(item_id) == place else None
            rows[place] = -1 if row_of_id is None else row_of_id
    return rows


def _search_bytes(part: StaticPart) -> int:
    scan = part.candidates.scan
    return 0 if scan is None else scan.size * scan.bytes_per_item


def _key(filter_arn: str, definition: Filter, sent: Mapping[str, str]) -> _CompiledFor:
    return filter_arn, definition.text, frozenset(sent.items())


def _array(rows: Rows) -> NDArray[np.uint32]:
    return np.frombuffer(rows.to_array(), np.uint32)
