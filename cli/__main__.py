"""Composition root of the command line: `tailorbird`, or `python -m cli`."""

from __future__ import annotations

import os
import sys

from cli.app import Env, app, run


def main() -> None:
    """Run the command that the arguments name."""
    sys.exit(run(app, Env(environ=dict(os.environ))))


if __name__ == "__main__":
    main()
