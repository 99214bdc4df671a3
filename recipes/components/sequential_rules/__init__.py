"""Sequence rules: a baseline without training that many networks do not reach, and a part of those that do."""

from recipes.components.sequential_rules.baseline import SequentialRulesBaseline
from recipes.components.sequential_rules.rules import PLACES, RuleShape, SequentialRules
from recipes.components.sequential_rules.shape import learn_shape

__all__ = ["PLACES", "RuleShape", "SequentialRules", "SequentialRulesBaseline", "learn_shape"]
