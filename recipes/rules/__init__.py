"""Sequence rules: a baseline without training that many networks do not reach, and a part of those that do."""

from recipes.rules.followers import PLACES, Followers
from recipes.rules.sequence import SequenceRules

__all__ = ["PLACES", "Followers", "SequenceRules"]
