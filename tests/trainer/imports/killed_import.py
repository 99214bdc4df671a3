"""Stops an import right before its commit, to be killed there: `python -m ... ROOT LOCATION IMPORT_ID`."""

from __future__ import annotations

import sys
from pathlib import Path

from protos.tailorbird.internal.v1 import jobs_pb2
from tests.trainer.place import SCHEMAS, Place
from trainer.worker import NullJobContext


class StopsBeforeCommit(NullJobContext):
    """Says that the commit is next, and waits."""

    def confirm(self) -> None:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    place = Place(Path(sys.argv[1]))
    table = jobs_pb2.DatasetTable(
        dataset_type="INTERACTIONS", location="datasets/group/INTERACTIONS", schema=SCHEMAS["INTERACTIONS"]
    )
    payload = jobs_pb2.DatasetImportPayload(table=table, data_location=sys.argv[2], replace=True, import_id=sys.argv[3])
    place.import_handler().run(payload, StopsBeforeCommit())
