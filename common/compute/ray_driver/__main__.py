"""Starts the driver: `python -m common.compute.ray_driver DESCRIPTOR ADDRESS PARTS`."""

from __future__ import annotations

import os
import sys

from common.compute import MAX_ATTEMPTS

# Read when Ray is loaded. A part whose memory ran out counts like one whose machine was lost; Ray would begin it for
# ever. Nothing is sent to Ray's makers; that is a matter of the cluster too, see docs/compute.md.
os.environ |= {"RAY_task_oom_retries": str(MAX_ATTEMPTS - 1), "RAY_USAGE_STATS_ENABLED": "0"}

from common.compute.ray_driver.driver import main

if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], most_parts=int(sys.argv[3]) or None)
