"""What the scorers of a sequence model are made of, besides the parameters that are learnt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from recipes.components.context import ContextCodes, ContextTable
from recipes.components.item_features import ItemFeatures, network_parameters
from recipes.components.item_regression.score import ItemRegression
from recipes.components.score_fusion.score import ScoreFusion
from recipes.components.sequence_scorer import SequenceScorer
from recipes.components.sequential_rules import SequentialRules
from recipes.components.user_features import UserFeatureTable
from recipes.data.histories import FloatArray
from recipes.training.network import Network

__all__ = ["CONTEXT", "GATES", "USER_FEATURES", "Assembly"]

#: Parameters that hold the vectors of context, and those of users' columns and their gates, where there are any.
CONTEXT, USER_FEATURES, GATES = "context", "people", "people_gates"


class Assembly(NamedTuple):
    """What scorers are made of, besides what is learnt.

    Attributes:
        network: Of the model.
        rules: Counted in the training data.
        regression: Learnt from them, with its weight in the fusion; it speaks for nothing while the network is learnt.
        items: Features of the items; None where they are known by their use alone.
        context_codes: What the codes of context mean; None without context.
        user_codes: What the codes of users' columns mean; None without columns.
    """

    network: Network
    rules: SequentialRules
    regression: ItemRegression
    items: ItemFeatures | None
    context_codes: ContextCodes | None
    user_codes: ContextCodes | None

    def scorer(
        self, parameters: Mapping[str, FloatArray], *, score_fusion: ScoreFusion, popularity: FloatArray | None = None
    ) -> SequenceScorer:
        """Make the scorer of some parameters; popularity: float32 [POPULARITY_FEATURES, n_items], None for none."""
        rest: dict[str, FloatArray] = network_parameters(parameters, self.items)
        embeddings, biases = rest.pop("item_embeddings"), rest.pop("item_biases")
        context, of_users, gates = (rest.pop(name, None) for name in (CONTEXT, USER_FEATURES, GATES))
        if popularity is None:
            popularity = np.zeros((len(score_fusion.popularity), len(biases)), np.float32)
        vectors = score_fusion.item_vectors(embeddings, biases, popularity)
        user_table = _table(self.user_codes, of_users)
        scorer = self.network.scorer(vectors, rest, score_fusion=score_fusion, sequential_rules=self.rules)
        return scorer.with_regression(self.regression).with_tables(
            context=_table(self.context_codes, context),
            user_features=None if user_table is None or gates is None else UserFeatureTable(user_table, gates),
        )


def _table(codes: ContextCodes | None, vectors: FloatArray | None) -> ContextTable | None:
    return None if codes is None or vectors is None else ContextTable(codes, vectors)
