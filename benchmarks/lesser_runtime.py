"""The runtime without some of what it does in a call, to see what that costs.

Nobody would run it: `benchmarks.extras` does, as `python -m benchmarks.lesser_runtime`, with what is left out in the
environment: `offset`, so that callers are not told which offset of the event log their answers include, and `pipeline`,
so that everybody gets the first answer that was made.
"""

from __future__ import annotations

import os
from typing import Any, Final

from common.positions import START, Position
from inference.pipelines import Pipeline
from inference.request import RecommendationRequest
from inference.result import ScoredItems
from runtime_service.__main__ import main
from runtime_service.features.event_offsets import EventOffsets

__all__ = ["LEFT_OUT"]

#: The variable that says what is left out, with commas between.
LEFT_OUT: Final = "BENCHMARK_LEFT_OUT"
_run = Pipeline.run
_kept: dict[int, ScoredItems] = {}


async def _nothing_told(
    self: EventOffsets,  # noqa: ARG001 - signature of `included`
    context: Any,  # noqa: ARG001 - signature of `included`
    dataset_group_arn: str,  # noqa: ARG001 - signature of `included`
) -> Position:
    return START


def _first_answer(self: Pipeline, request: RecommendationRequest) -> ScoredItems:
    answer = _kept.get(request.limit)
    if answer is None:
        answer = _run(self, request)
        if not answer.reasons:  # one with an explored item would be of another size
            _kept[request.limit] = answer
    return answer


if __name__ == "__main__":
    left_out = os.environ.pop(LEFT_OUT, "").split(",")
    if "offset" in left_out:
        EventOffsets.included = _nothing_told  # type: ignore[method-assign]  # no setting turns it off
    if "pipeline" in left_out:
        Pipeline.run = _first_answer  # type: ignore[method-assign]  # no setting turns it off
    main()
