"""The filter language: one grammar for filters of items, users and actions and for the attributes of segments."""

from common.filters.attributes import ItemAttribute, parse_item_attributes
from common.filters.check import MAX_FIELDS, MAX_LENGTH, Filter, Parameter, filter_target, parse_filter
from common.filters.evaluate import CompiledFilter, RequestContext, compile_filter, event_key
from common.filters.expression import Dataset, Field, Target
from common.filters.table import Column, NumberColumn, Rows, Table, TextColumn, rows_of
from common.filters.values import FilterValues, parse_filter_values

__all__ = [
    "MAX_FIELDS", "MAX_LENGTH", "Column", "CompiledFilter", "Dataset", "Field", "Filter", "FilterValues",
    "ItemAttribute", "NumberColumn", "Parameter", "RequestContext", "Rows", "Table", "Target", "TextColumn",
    "compile_filter", "event_key", "filter_target", "parse_filter", "parse_filter_values", "parse_item_attributes",
    "rows_of",
]  # fmt: skip
