"""Every protocol by its name: `python -m benchmarks.quality PROTOCOL DATA`, then the options of that protocol."""

from __future__ import annotations

import importlib
import sys

_PROTOCOLS = {
    "leave-one-out": "benchmarks.quality.leave_one_out",
    "personalize": "benchmarks.quality.personalize_split",
    "sessions": "benchmarks.quality.sessions",
    "item-to-item": "benchmarks.quality.item_to_item",
    "ablation": "benchmarks.quality.ablation",
    "strong-generalisation": "benchmarks.quality.strong_generalisation",
}


def main() -> int:
    """Hand the rest of the command line to the protocol's own command."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in _PROTOCOLS:
        sys.stderr.write(f"`PROTOCOL`: got {name!r}, want one of {', '.join(_PROTOCOLS)}\n")
        return 2
    sys.argv[:2] = [f"{sys.argv[0]} {name}"]
    importlib.import_module(_PROTOCOLS[name]).main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
