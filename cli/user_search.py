"""Where a user is and is not, as `tailorbird deletions show` tells it: the search's report, and what runtimes say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cli.terminal import escape_controls
from protos.tailorbird.control.v1 import user_search_service_pb2 as api

__all__ = ["RuntimeAnswer", "UserPlaces"]

_PLACES: Final = {
    api.USER_PLACE_DATASET: "rows of {}",
    api.USER_PLACE_DATASET_HISTORY: "earlier versions of {}",
    api.USER_PLACE_IMPORT_REPORTS: "failed imports of {}",
    api.USER_PLACE_EVENT_LOG: "event log, {}",
    api.USER_PLACE_MODEL: "model {}",
    api.USER_PLACE_TRAINING_REMAINS: "what a training has left{}",
    api.USER_PLACE_FEATURES: "snapshot of features of {}",
    api.USER_PLACE_OTHER_FILES: "other files of {}",
}
#: What nobody but the owner can look into, and what has no users.
_ELSEWHERE: Final = (
    "Not looked into, because they are yours: imported files, files that exports and batch jobs wrote, backups.",
    "Without users by their nature: counts of items and shown items of runtimes, sums of metric attributions.",
)


@dataclass(frozen=True, slots=True)
class RuntimeAnswer:
    """What a runtime said of its host's histories.

    Attributes:
        address: Where it was asked.
        runtime_id: The worker that answered; empty for none.
        events: Events of the user; None when it did not answer.
        reason: Why it did not.
    """

    address: str
    runtime_id: str = ""
    events: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Place:
    name: str
    location: str
    rows: int | None
    reason: str
    remark: str = ""


class UserPlaces:
    """All places, each with what was found there.

    Args:
        search: A search that is done.
        runtimes: What the runtimes said that were asked.
    """

    def __init__(self, search: api.UserSearch, runtimes: Sequence[RuntimeAnswer]) -> None:
        self._search = search
        self._places = [_place(finding) for finding in search.report.findings]
        self._places += [_of_runtime(answer) for answer in runtimes]
        hosts = {_host(answer.runtime_id) for answer in runtimes}
        for host in sorted({_host(name) for name in search.runtime_ids} - hosts):
            reason = "no runtime of this host was asked: name it with --runtime HOST:PORT"
            self._places.append(_Place(f"histories of runtime {host}", "", None, reason))

    @property
    def is_nowhere(self) -> bool:
        """Whether every place was looked into, and none has the user."""
        return all(place.rows == 0 for place in self._places)

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "dataset_group_arn": self._search.dataset_group_arn,
            "searched_at": _time(self._search.report.searched_at),
            "nowhere": self.is_nowhere,
            "places": [
                {
                    "place": place.name,
                    "location": place.location,
                    "rows": place.rows,
                    "reason": place.reason,
                    "remark": place.remark,
                }
                for place in self._places
            ],
            "deletions": [
                {
                    "name": item.name,
                    "began_at": _time(item.began_at),
                    "finished_at": _time(item.finished_at) if item.HasField("finished_at") else None,
                    "up_to_offset": item.up_to_offset,
                }
                for item in self._search.report.deletions
            ],
            "not_looked_into": list(_ELSEWHERE),
        }

    def view(self) -> RenderableType:
        """Return tables for a person."""
        table = Table("place", "the user is", "remark", title="Where the user is and is not", title_justify="left")
        for place in self._places:
            table.add_row(_shown(place.name), _verdict(place), _shown(place.remark))
        parts: list[RenderableType] = [table]
        deletions = self._search.report.deletions
        for item in deletions:
            ended = f"finished {_time(item.finished_at)}" if item.HasField("finished_at") else "not finished"
            parts.append(
                Text(f"Deleted by {escape_controls(item.name)}: in force since {_time(item.began_at)}, {ended}.")
            )
        if not deletions:
            parts.append(Text("No deletion names the user."))
        parts += [Text(line) for line in _ELSEWHERE]
        return Group(*parts)


def _place(finding: api.UserFinding) -> _Place:
    remark = ""
    if finding.HasField("created_at"):
        remark = f"published {_time(finding.created_at)}"
        if finding.deletions_since:
            remark += f", trained before {', '.join(finding.deletions_since)}"
    name = _PLACES.get(finding.place, "an unknown place, {}").format(finding.name)
    return _Place(name, finding.location, finding.rows if finding.HasField("rows") else None, finding.reason, remark)


def _of_runtime(answer: RuntimeAnswer) -> _Place:
    host = _host(answer.runtime_id) or answer.address
    return _Place(f"histories of runtime {host}", answer.address, answer.events, answer.reason)


def _host(runtime_id: str) -> str:
    """Return what the names of all workers with the same histories begin with."""
    return runtime_id.rpartition("-")[0]


def _verdict(place: _Place) -> Text:
    if place.rows is None:
        return Text(f"cannot be asked ({escape_controls(place.reason)})", style="yellow")
    if place.rows:
        return Text(f"there: {place.rows:,}", style="bold red")
    return Text("not there", style="green")


def _shown(text: str) -> str:
    return escape(escape_controls(text))


def _time(moment: Timestamp) -> str:
    return f"{moment.ToDatetime(tzinfo=UTC):%Y-%m-%dT%H:%M:%SZ}"
