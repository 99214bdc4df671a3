"""What a campaign's configuration says of serving: exploration, and how much freshness and popularity count."""

from __future__ import annotations

import json

from inference.model import RankingInfluence
from recipes.components.exploration import ExplorationSettings

__all__ = ["read_exploration", "read_influence"]


def read_exploration(config_json: str) -> ExplorationSettings:
    """Read `itemExplorationConfig` of a configuration, which the control plane has checked; empty for none."""
    values = json.loads(config_json or "{}").get("itemExplorationConfig", {})
    default = ExplorationSettings()
    return ExplorationSettings(
        float(values.get("explorationWeight", default.weight)),
        float(values.get("explorationItemAgeCutOff", default.days)),
    )


def read_influence(config_json: str) -> RankingInfluence:
    """Read `rankingInfluence` of a configuration, which the control plane has checked; empty for none."""
    values = json.loads(config_json or "{}").get("rankingInfluence") or {}
    return RankingInfluence(freshness=values.get("FRESHNESS", 0.0), popularity=values.get("POPULARITY", 0.0))
