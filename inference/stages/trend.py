"""Trends: scores of this moment, the same for everybody, worked out aside."""

from __future__ import annotations

from inference.run import SHARED, PipelineRun
from inference.stages.retrieve import retrieve
from inference.stages.score import score
from inference.user_state import UserState
from recipes.ports import TrendScorer

__all__ = ["score_trend"]


def score_trend(run: PipelineRun) -> None:
    """Take the scores of this moment; where nothing happened lately, go on with what is popular."""
    scorer, trend = run.model.scorer, run.request.trend
    if trend is None:
        assert isinstance(scorer, TrendScorer), "pipelines are chosen by the kind of recipe"
        run.state = UserState(scorer.popular(), run.state.score_deltas)
        retrieve(run)
        score(run)
        return
    run.shared, depth = SHARED, max(run.limit, SHARED)
    if run.candidates.restricts or (depth > len(trend.best) and len(trend.best) < len(trend.scores)):
        run.shortlist, run.scores = None, trend.scores.copy()
    else:
        run.shortlist = trend.best[:depth]
        run.scores = trend.scores[run.shortlist]
