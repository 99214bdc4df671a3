"""The names under which offsets of the event log travel with calls, in gRPC's metadata and in HTTP's headers alike.

Each answer says up to which offset it includes the log, each acknowledgement of events which offset they have got; and
a caller may ask the runtime to include an offset before it answers, so that it reads what it wrote.
"""

from __future__ import annotations

from typing import Final

__all__ = ["OFFSET_KEY", "WAIT_KEY"]

#: Of an acknowledgement the offset of the last record that was sent; of an answer the last one that it includes.
OFFSET_KEY: Final = "x-tailorbird-event-offset"
#: Of a request: the offset that the answer must include.
WAIT_KEY: Final = "x-tailorbird-wait-for-event-offset"
