"""Writes what is told by the code alone; `make docs` runs it, a test compares what is written with the code.

- docs/reference: operations, settings, errors, metrics
- cli/settings.json: the variables of each process, so that `tailorbird up` gives each its own without importing it
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from common import errors
from common.operations import operations_page
from common.telemetry import CALL_FIGURES, Figure
from common.telemetry.workers import WORKER_FIGURES
from control_plane.servicers.control.servicer import CONTROL_PLANE_SERVICE
from control_plane.servicers.evaluations import EVALUATION_SERVICE
from control_plane.servicers.job_statuses import JOB_STATUS_SERVICE
from control_plane.servicers.storage import STORAGE_SERVICE
from control_plane.servicers.user_searches import USER_SEARCH_SERVICE
from events_service.servicers.events import SERVICE as EVENTS_SERVICE
from runtime_service.servicers.explanations import EXPLANATION_SERVICE
from runtime_service.servicers.recommendations import SERVICE as RUNTIME_SERVICE

REFERENCE = Path(__file__).resolve().parent / "reference"
SETTINGS = REFERENCE.parents[1] / "cli" / "settings.json"
PROCESSES = ("control_plane", "events_service", "runtime_service", "trainer", "gateway")
BANNER = "<!-- Written by docs/generate.py; change the code, then run `make docs`. -->\n\n"


def settings_class(process: str) -> type[BaseSettings]:
    """Return the class of a process's settings."""
    module = importlib.import_module(f"{process}.settings")
    (kind,) = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, BaseSettings) and item.__module__ == module.__name__
    ]
    return kind


def variable(field: str) -> str:
    """Return the environment variable of a setting."""
    return f"TAILORBIRD_{field.upper()}"


def variables() -> str:
    """Return the environment variables of each process, as JSON."""
    names = {process: sorted(map(variable, settings_class(process).model_fields)) for process in PROCESSES}
    return json.dumps(names, indent=2) + "\n"


def settings_page() -> str:
    """Every setting of every process: variable, default, meaning."""
    lines = ["# Settings", "", "Each process reads these environment variables once, at its start.", ""]
    for process in PROCESSES:
        kind = settings_class(process)
        lines += [f"## {process}", "", "| Variable | Default | Meaning |", "| --- | --- | --- |"]
        for name, field in sorted(kind.model_fields.items()):
            value = field.default
            shown_value = value.get_secret_value() if isinstance(value, SecretStr) else value
            shown = "none" if value is None else f"`{shown_value}`"
            default = "required" if field.is_required() else shown
            lines.append(f"| `{variable(name)}` | {default} | {field.description} |")
        lines.append("")
    return "\n".join(lines)


def figures(process: str) -> list[Figure]:
    """Return what a process counts and measures."""
    served = () if process == "gateway" else CALL_FIGURES
    return sorted(
        (*served, *WORKER_FIGURES, *importlib.import_module(f"{process}.figures").FIGURES),
        key=lambda figure: figure.name,
    )


def metrics_page() -> str:
    """Every figure of every process: name, type, labels, meaning."""
    lines = ["# Metrics", ""]
    lines += [
        "What `GET /metrics` of each process shows, where `TAILORBIRD_METRICS_LISTEN` is set; what to watch is in"
    ]
    lines += [
        "[observability](../observability.md). A histogram has `_bucket`, `_count` and `_sum` behind its name.",
        "",
    ]
    for process in PROCESSES:
        lines += [f"## {process}", "", "| Name | Type | Labels | Meaning |", "| --- | --- | --- | --- |"]
        for figure in figures(process):
            labels = (*figure.labels, "worker") if figure.by_worker else figure.labels
            shown = ", ".join(f"`{label}`" for label in labels)
            lines.append(f"| `{figure.name}` | {figure.kind} | {shown} | {figure.meaning} |")
        lines.append("")
    return "\n".join(lines)


def errors_page() -> str:
    """Every reason an operation can fail with."""
    lines = ["# Errors", ""]
    lines += ["gRPC clients find the reason in `google.rpc.ErrorInfo`, AWS clients as the name of the exception.", ""]
    lines += ["| Reason | gRPC status | Meaning |", "| --- | --- | --- |"]
    for kind in _subclasses(errors.TailorbirdError):
        meaning = re.sub(r"\s+", " ", (kind.__doc__ or "").split("\n\n")[0])
        lines.append(f"| `{kind.reason}` | `{kind.code}` | {meaning} |")
    return "\n".join([*lines, ""])


def _subclasses(root: type[errors.TailorbirdError]) -> Iterator[type[errors.TailorbirdError]]:
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from _subclasses(child)


def pages() -> dict[str, str]:
    """Return the text of each page by its file name."""
    operations = operations_page(
        [CONTROL_PLANE_SERVICE, EVENTS_SERVICE, RUNTIME_SERVICE],
        additional={
            EVALUATION_SERVICE: "Tailorbird's own, on gRPC alone.",
            USER_SEARCH_SERVICE: "Tailorbird's own, on gRPC alone, for operators.",
            EXPLANATION_SERVICE: "Beside Personalize's operations, on gRPC and at the gateway.",
            JOB_STATUS_SERVICE: "What trainers work on, on gRPC alone; behind `tailorbird jobs`.",
            STORAGE_SERVICE: "For operators, on gRPC alone; Personalize has nothing like it.",
        },
    )
    return {
        "operations.md": BANNER + operations,
        "settings.md": BANNER + settings_page(),
        "errors.md": BANNER + errors_page(),
        "metrics.md": BANNER + metrics_page(),
    }


if __name__ == "__main__":
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text)
        sys.stdout.write(f"wrote docs/reference/{name}\n")
    SETTINGS.write_text(variables())
    sys.stdout.write(f"wrote {SETTINGS.relative_to(REFERENCE.parents[1])}\n")
