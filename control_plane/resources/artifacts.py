"""Where the artifacts of solution versions are: the one that a training published, and those of updates after it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from control_plane.metadata_store.tables import SolutionVersion

__all__ = ["UPDATES_SUFFIX", "served_artifact", "stored_folders", "update_location", "updates_folder"]

UPDATES_SUFFIX: Final = "-updates"


def served_artifact(version: SolutionVersion) -> str:
    """Return the folder of a version's newest artifact."""
    return version.updated_artifact_location or version.artifact_location


def update_location(version: SolutionVersion, update_id: str) -> str:
    """Return the folder in which an update of a version publishes its artifact."""
    return f"{updates_folder(version)}/{update_id}"


def stored_folders(versions: Iterable[SolutionVersion]) -> list[str]:
    """Return all folders that versions have in the store."""
    folders = []
    for version in versions:
        folders.append(version.artifact_location)
        if version.perform_incremental_update:
            folders.append(updates_folder(version))
    return folders


def updates_folder(version: SolutionVersion) -> str:
    """Return the folder in which all updates of a version publish."""
    # Not below that of the training: whoever keeps a copy of an update alone removes that of the training.
    return f"{version.artifact_location}{UPDATES_SUFFIX}"
