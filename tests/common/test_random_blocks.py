"""Random blocks: nobody gets one that somebody else has, neither threads nor forked processes."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from common.random_blocks import random_block


def test_blocks_are_all_different_in_many_threads():
    with ThreadPoolExecutor(8) as pool:
        blocks = [
            block for blocks in pool.map(lambda _: [random_block() for _ in range(500)], range(8)) for block in blocks
        ]

    assert len(set(blocks)) == 4000
    assert {len(block) for block in blocks} == {16}


def test_a_forked_process_gets_others_than_its_parent():
    # In a process of its own, without the threads of whatever else was tested here.
    code = (
        "import os\n"
        "from common.random_blocks import random_block\n"
        "random_block()\n"  # so that there are some left
        "child = os.fork()\n"
        "os.write(1, b''.join(random_block() for _ in range(100)))\n"
        "if child:\n"
        "    os.waitpid(child, 0)\n"
    )
    written = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout

    assert len({written[begin : begin + 16] for begin in range(0, len(written), 16)}) == 200
