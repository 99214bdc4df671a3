"""How much freshness and popularity count in a campaign's answers, where its recipe leaves that to campaigns."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from inference.model import Model
from recipes.ports import AcceptsRankingInfluence

__all__ = ["RankingInfluence"]


@dataclass(frozen=True, slots=True)
class RankingInfluence:
    """`campaignConfig.rankingInfluence`; nothing counts unless said.

    Attributes:
        freshness: 0 to 1.
        popularity: 0 to 1.
    """

    freshness: float = 0.0
    popularity: float = 0.0

    @classmethod
    def read(cls, config_json: str) -> RankingInfluence:
        """Read a campaign's configuration, which the control plane has checked; empty for none."""
        values = json.loads(config_json or "{}").get("rankingInfluence") or {}
        return cls(freshness=values.get("FRESHNESS", 0.0), popularity=values.get("POPULARITY", 0.0))

    def on(self, model: Model) -> Model:
        """Return the model as the campaign wants it, which may be shared with campaigns that want it otherwise."""
        if not isinstance(model.scorer, AcceptsRankingInfluence):
            return model
        return replace(model, scorer=model.scorer.influenced(freshness=self.freshness, popularity=self.popularity))
