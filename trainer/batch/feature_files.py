"""The features that lines are answered by: files on the trainer's machine, which other machines read from the store."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.avro import AvroSchema
from common.errors import CorruptArtifact, ResourceNotFound, Unavailable
from common.features import Features, FeatureSnapshot
from common.features.publishing import snapshot_files
from common.private_files import private_folder
from common.process.file_lock import hold_lock
from common.storage import Store
from protos.tailorbird.storage.v1.feature_manifest_pb2 import FeatureManifest

__all__ = ["FeatureFiles"]

#: How long a process waits at most while another one of its machine reads the same, which may be a large table; who
#: ends lets go.
_READ_SECONDS: Final = 6 * 3600.0
#: Beside the files: what they say of themselves, and the link to them, which comes last.
_MANIFEST, _FILES = "manifest", "complete"


@dataclass(frozen=True, slots=True)
class FeatureFiles:
    """A snapshot of features on disk.

    Attributes:
        folder: Of its files, on the machine of the trainer.
        manifest: What it says of itself, as bytes of a `FeatureManifest`.
        schema: The Avro schema of its dataset as it is now.
    """

    folder: Path
    manifest: bytes
    schema: str

    def open(self, store: Store, cache: Path) -> Features:
        """Map it.

        On another machine than the trainer's the same version is read from the store: its snapshot where that is
        published, else the rows of the table. One process of the machine does it, and the others wait.

        Args:
            store: The shared store.
            cache: Folder of the job on this machine.

        Raises:
            Unavailable: The files are damaged, or the version of the table is gone, as after a deletion of users.
        """
        manifest = FeatureManifest.FromString(self.manifest)
        try:
            if self.folder.is_dir():
                snapshot = FeatureSnapshot.load(self.folder, manifest)
            else:
                snapshot = _read_here(store, manifest, private_folder(cache))
        except (CorruptArtifact, ResourceNotFound) as error:
            message = f"features of {manifest.table.location}: {error.message}; the job reads them again"
            raise Unavailable(message) from error
        except OSError as error:
            message = f"features of {manifest.table.location}: cannot be kept in {cache} of this machine: {error}"
            raise Unavailable(message) from error
        return Features.of(snapshot, AvroSchema.parse(self.schema), offset=snapshot.position.offset)


def _read_here(store: Store, manifest: FeatureManifest, cache: Path) -> FeatureSnapshot:
    table = manifest.table
    folder = cache / f"features-{table.dataset_type.lower()}"
    files = folder / _FILES
    with hold_lock(folder.with_suffix(".lock"), seconds=_READ_SECONDS):
        if not files.is_dir():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed at it
            folder.mkdir()
            made = snapshot_files(
                store,
                table.location,
                manifest.schema,
                dataset_type=table.dataset_type,
                version=table.version,
                folder=folder,
            )
            (folder / _MANIFEST).write_bytes(made.manifest.SerializeToString())
            files.symlink_to(made.folder)
    return FeatureSnapshot.load(files.resolve(), FeatureManifest.FromString((folder / _MANIFEST).read_bytes()))
