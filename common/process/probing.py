"""When a process is started again, and when one that runs is taken for hung."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LivenessPolicy", "RestartPolicy"]


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Exponential back-off that never gives up.

    Attributes:
        first_seconds: Pause after the first crash.
        factor: What each further crash in a row multiplies the pause with.
        longest_seconds: The longest pause.
        steady_seconds: A process that lived this long counts its next crash as the first.
    """

    first_seconds: float = 0.5
    factor: float = 2.0
    longest_seconds: float = 10.0
    steady_seconds: float = 60.0

    def pause(self, crashes: int) -> float:
        """Return the seconds to wait after that many crashes in a row."""
        # The exponent is bounded, since a float is.
        return min(self.first_seconds * self.factor ** min(crashes - 1, 64), self.longest_seconds)


@dataclass(frozen=True, slots=True)
class LivenessPolicy:
    """A process that answers no probe for long is killed and started again; "not ready" is an answer.

    Attributes:
        starting_every_seconds: Pause between two probes until the process is ready.
        every_seconds: Pause between two probes afterwards.
        silent_seconds: How long a process that was ready may answer nothing.
        starting_seconds: The same before it was ready: it may have a database to recover.
        least_probes: So many probes in a row must have failed besides, so that a supervisor that was itself stopped
            for a while kills nothing when it goes on.
    """

    starting_every_seconds: float = 0.1
    every_seconds: float = 2.0
    silent_seconds: float = 30.0
    starting_seconds: float = 300.0
    least_probes: int = 3
