"""The runtime without telling callers which offset their answers include, to see what that costs.

Nobody would run it: `benchmarks.extras` does, as `python -m benchmarks.untold_runtime`.
"""

from __future__ import annotations

from typing import Any

from common.positions import START, Position
from runtime_service.__main__ import main
from runtime_service.features.event_offsets import EventOffsets


async def _nothing_told(self: EventOffsets, context: Any) -> Position:  # noqa: ARG001 - signature of `included`
    return START


if __name__ == "__main__":
    EventOffsets.included = _nothing_told  # type: ignore[method-assign]  # no setting turns it off
    main()
