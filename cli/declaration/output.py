"""How a plan is shown to a person: a line for each step, one below it for each member that differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.text import Text

from cli.declaration.steps import Action, Plan, Step
from cli.terminal import escape_controls

__all__ = ["plan_view", "step_line"]

_SIGNS: Final = {
    Action.CREATE: ("+", "green"),
    Action.UPDATE: ("~", "yellow"),
    Action.TAG: ("~", "yellow"),
    Action.WAIT: ("…", "cyan"),
    Action.DELETE: ("-", "red"),
}


def step_line(step: Step, outcome: str | None = None) -> Text:
    """Return the line of a step: its sign, the resource, and what has become of it."""
    sign, style = _SIGNS[step.action]
    line = f"{sign} {step.title}"
    return Text(escape_controls(line if outcome is None else f"{line}: {outcome}"), style=style)


def plan_view(plan: Plan) -> Iterator[Text]:
    """Yield the lines of a plan, the last with the number of steps of each sort."""
    for step in plan.steps:
        yield step_line(step)
        for detail in step.details:
            yield Text(f"    {escape_controls(detail)}")
    counts = {action: sum(step.action is action for step in plan.steps) for action in Action}
    parts = [f"{count} to {action}" for action, count in counts.items() if count]
    yield Text(", ".join(parts) if parts else "nothing to do: everything is as declared")
