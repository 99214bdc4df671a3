"""Carries out a plan: begins the steps of a stage, waits until all of them are done, goes on to the next.

Nothing is remembered between two runs: the next run plans from what exists, so that it goes on where one was
interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from cli.declaration.api import ControlPlaneApi
from cli.declaration.existing import DELETING, FAILED, IN_PROGRESS, Existing, status_name
from cli.declaration.steps import Action, Plan, Ref, Step
from common.errors import DeadlineExceeded, ResourceInUse, TailorbirdError, Unavailable
from common.process.backoff import BackoffPolicy

__all__ = ["Executor", "StepFailed", "WaitPolicy"]

_PAUSES: Final = BackoffPolicy(first_seconds=0.1, longest_seconds=5.0)


class StepFailed(TailorbirdError):
    """A resource did not become what was declared; the message has its failureReason, if there is one."""

    reason = "StepFailed"


@dataclass(frozen=True, slots=True)
class WaitPolicy:
    """How long is waited for one stage, and how often is looked.

    Attributes:
        limit_seconds: Longest wait for the resources of one stage.
        pauses: Pauses between two looks.
    """

    limit_seconds: float
    pauses: BackoffPolicy = _PAUSES


class Executor:
    """Carries out plans.

    Args:
        api: The control plane.
        wait_policy: Limits of waits.
        report: Called with each step, and what has become of it.
    """

    def __init__(self, api: ControlPlaneApi, wait_policy: WaitPolicy, *, report: Callable[[Step, str], None]) -> None:
        self._api = api
        self._wait_policy = wait_policy
        self._report = report
        self._arns: dict[Ref, str] = {}

    def run(self, plan: Plan) -> None:
        """Carry out all steps.

        Raises:
            StepFailed: A resource failed, or disappeared.
            DeadlineExceeded: One was not done within the limit; another run goes on.
            TailorbirdError: The control plane refused a step; what was done before stays.
        """
        self._arns = dict(plan.arns)
        for _, steps in groupby(plan.steps, key=lambda step: (step.stage, step.wave)):
            begun = [(step, arn) for step in steps if (arn := self._begin(step)) is not None]
            for step, arn in begun:
                self._finish(step, arn)

    def _begin(self, step: Step) -> str | None:
        """Make the call of a step; return the ARN to wait for, None if there is nothing to wait for."""
        try:
            return self._call(step)
        except ResourceInUse:
            if not step.keeps_if_in_use:
                raise
            self._report(step, "kept: something else uses it")
            return None
        except (StepFailed, DeadlineExceeded):
            raise
        except TailorbirdError as error:
            raise type(error)(
                f"{step.title}: {error.message}",
                violations=error.violations,
                metadata=error.metadata,
            ) from error

    def _call(self, step: Step) -> str | None:
        if step.action is Action.WAIT:
            return step.arn
        if step.action is Action.CREATE:
            if step.arn is not None:
                self._until(step, step.arn, self._is_gone)
            arn = self._api.create(step.ref.kind, self._request(step))
            self._arns[step.ref] = arn
            self._report(step, "created")
            return arn
        assert step.arn is not None, "the resource exists"
        if step.action is Action.TAG:
            self._api.set_tags(step.arn, tags=dict(step.tags), removed=list(step.removed_tags))
            self._report(step, "tagged")
            return None
        if step.action is Action.DELETE:
            self._delete(step, step.arn)
            return step.arn
        # An update has to wait for the end of the one before, and of the creation.
        self._until(step, step.arn, self._is_idle)
        self._api.call(f"Update{step.ref.kind}", self._request(step))
        self._report(step, "updated")
        return step.arn

    def _delete(self, step: Step, arn: str) -> None:
        """Begin a deletion, after the end of an update that is in progress."""
        described = self._api.describe(step.ref.kind, arn)
        if described is None or _existing(step, arn, described).status in DELETING:
            return
        try:
            self._api.delete(step.ref.kind, arn)
        except ResourceInUse:
            if self._is_idle(step, _existing(step, arn, described)):
                raise
            self._until(step, arn, self._is_idle)
            self._api.delete(step.ref.kind, arn)

    def _request(self, step: Step) -> Any:
        request = type(step.request)()
        request.CopyFrom(step.request)
        for name, parent in step.parents.items():
            setattr(request, name, f"{self._arns[parent.ref]}{parent.suffix}")
        return request

    def _finish(self, step: Step, arn: str) -> None:
        if step.action is Action.DELETE:
            self._until(step, arn, self._is_gone)
            self._report(step, "deleted")
            return
        if self._until(step, arn, self._is_done):
            self._report(step, "ready")

    def _until(self, step: Step, arn: str, is_done: Callable[[Step, Existing | None], bool]) -> bool:
        """Look at a resource until it is as it should be; return whether that took more than one look.

        Raises:
            DeadlineExceeded: It was not within the limit.
        """
        deadline = time.monotonic() + self._wait_policy.limit_seconds
        looks = 0
        while True:
            try:
                described = self._api.describe(step.ref.kind, arn)
            except Unavailable as error:
                # A control plane that is started again meanwhile.
                state = f"unknown ({error.message})"
            else:
                existing = None if described is None else _existing(step, arn, described)
                if is_done(step, existing):
                    return looks > 0
                state = "gone" if existing is None else status_name(existing.status)
            looks += 1
            pause = self._wait_policy.pauses.pause_seconds(looks)
            if time.monotonic() + pause > deadline:
                raise DeadlineExceeded(
                    f"{step.title}: is {state} after {self._wait_policy.limit_seconds / 60:g} minutes; "
                    "run the command again to go on"
                )
            time.sleep(pause)

    @staticmethod
    def _is_gone(step: Step, existing: Existing | None) -> bool:
        if existing is not None and existing.status in FAILED:
            raise StepFailed(f"{step.title}: was not deleted: {existing.failure_reason}")
        return existing is None

    @staticmethod
    def _is_idle(step: Step, existing: Existing | None) -> bool:
        if existing is None:
            raise StepFailed(f"{step.title}: disappeared")
        return existing.status not in IN_PROGRESS and existing.running_update is None

    def _is_done(self, step: Step, existing: Existing | None) -> bool:
        if not self._is_idle(step, existing):
            return False
        assert existing is not None, "it did not disappear"
        if existing.status in FAILED and step.action is not Action.UPDATE:
            raise StepFailed(f"{step.title}: is {status_name(existing.status)}: {existing.failure_reason}")
        update = getattr(existing.described, f"latest_{step.ref.kind.snake}_update", None)
        if step.action is Action.UPDATE and update is not None and update.status in FAILED:
            raise StepFailed(f"{step.title}: the update failed: {update.failure_reason}")
        return True


def _existing(step: Step, arn: str, described: Any) -> Existing:
    return Existing(step.ref.kind, step.ref.name, arn, described)
