"""The commands that a person can copy from the screen, which work in a shell that knows nothing of this environment."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

__all__ = ["python", "tailorbird"]


def python() -> str:
    """Return the running interpreter, ready for a shell."""
    return shlex.quote(sys.executable)


def tailorbird() -> str:
    """Return the command `tailorbird` of the running interpreter's environment, ready for a shell."""
    script = Path(sys.executable).with_name("tailorbird")
    return shlex.quote(str(script)) if script.exists() else f"{python()} -m cli"
