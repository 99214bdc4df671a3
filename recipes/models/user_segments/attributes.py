"""Which items have which attributes, as they were at the training: what attribute expressions are answered from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact, invalid
from common.filters import ItemAttribute, parse_item_attributes
from common.vocabulary import Vocabulary
from recipes.data.columns import Columns
from recipes.data.histories import ItemIndexes, Offsets

__all__ = ["Attributes"]

_NAMES: Final = ("columns", "categories")


@dataclass(frozen=True, slots=True)
class Attributes:
    """Items by attribute.

    Attributes:
        columns: Names of the columns in upper case, the categorical ones first.
        categories: `COLUMN=value` for each value of a categorical column.
        offsets: int64 [n_categories + 1]; category c owns the entries `offsets[c]` to `offsets[c + 1] - 1`.
        items: int32 [entries], ascending within a category.
        numbers: float64 [n_numeric, n_items], the numeric columns; NaN where there is no value.
    """

    columns: Vocabulary
    categories: Vocabulary
    offsets: Offsets
    items: ItemIndexes
    numbers: NDArray[np.float64]

    @classmethod
    def of_columns(cls, columns: Columns, *, n_items: int) -> Attributes:
        """Turn columns around."""
        names, keys, items_of_categories, lengths = [], list[str](), [np.empty(0, np.int64)], list[int]()
        for name, column in columns.categorical.items():
            names.append(name.upper())
            rows = column.rows()
            order = np.lexsort((rows, column.codes))
            counts = np.bincount(column.codes, minlength=len(column.categories))
            keys += [f"{name.upper()}={category}" for category in column.categories]
            items_of_categories.append(rows[order])
            lengths += counts.tolist()
        names += [name.upper() for name in columns.numeric]
        numbers = np.array(list(columns.numeric.values()), np.float64).reshape(len(columns.numeric), n_items)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.array(lengths, np.int64))])
        items = np.concatenate(items_of_categories).astype(np.int32)
        return cls(Vocabulary.build(names), Vocabulary.build(keys), offsets, items, numbers)

    def __len__(self) -> int:
        return len(self.categories)

    def of_category(self, category: int) -> ItemIndexes:
        """Return the items of a category: int32 [k], ascending."""
        return self.items[self.offsets[category] : self.offsets[category + 1]]

    def all(self) -> Iterator[ItemIndexes]:
        """Return the items of each category."""
        return (self.of_category(category) for category in range(len(self)))

    def find(self, expression: str) -> ItemIndexes:
        """Return the items that match an attribute expression: int32 [k], ascending, at least one.

        Raises:
            InvalidInput: It is malformed, names a column or a value that was not there at the training, or no item
                matches all of it.
        """
        first, *others = parse_item_attributes(expression)
        items = self._of_attribute(first)
        for attribute in others:
            items = np.intersect1d(items, self._of_attribute(attribute), assume_unique=True)
        if not len(items):
            raise invalid("itemAttributes", got=expression, want="attributes that an item had at the training")
        return items

    def _of_attribute(self, attribute: ItemAttribute) -> ItemIndexes:
        name, value = attribute.column.upper(), attribute.value
        column, categorical = self.columns.index(name), len(self.columns) - len(self.numbers)
        if column is None:
            names = ", ".join(self.columns.ids(range(len(self.columns))))
            raise invalid("itemAttributes", got=attribute.column, want=f"a column of Items: one of {names}")
        if column < categorical:
            category = self.categories.index(f"{name}={value}") if isinstance(value, str) else None
            items = np.empty(0, np.int32) if category is None else self.of_category(category)
        else:
            number = np.nan if isinstance(value, str) else float(value)
            items = np.flatnonzero(self.numbers[column - categorical] == number).astype(np.int32)
        if not len(items):
            raise invalid("itemAttributes", got=f"{attribute.column} = {value!r}", want="a value of that column")
        return items

    def save(self, folder: Path) -> None:
        """Write the attributes into an existing folder."""
        for name in _NAMES:
            getattr(self, name).save(folder, f"attribute_{name}")
        save_arrays(
            folder,
            {
                "attribute_offsets": self.offsets,
                "attribute_items": self.items,
                "attribute_numbers": self.numbers,
            },
        )

    @classmethod
    def load(cls, folder: Path, *, n_items: int) -> Attributes:
        """Open saved attributes.

        Raises:
            CorruptArtifact: A file is missing, cannot be read or does not fit the others.
        """
        columns, categories = (Vocabulary.load(folder, f"attribute_{name}") for name in _NAMES)
        offsets, items, numbers = map_arrays(
            folder, ("attribute_offsets", "attribute_items", "attribute_numbers")
        ).values()
        fits = len(offsets) == len(categories) + 1 and int(offsets[-1]) == len(items)
        if not fits or numbers.ndim != 2 or numbers.shape[1] != n_items or len(numbers) > len(columns):
            raise CorruptArtifact("`attribute_*.npy`: got arrays of different sizes, want those of one catalogue")
        return cls(columns, categories, offsets, items, numbers)
