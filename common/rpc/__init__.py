"""gRPC as this project uses it: servers with one policy for all calls, channels with deadlines.

Servicers raise from `common.errors`; only the handlers here turn errors into statuses, check tokens, and bind
request ids to logs.
"""

from common.rpc.call_policy import CallPolicy, LineBudget
from common.rpc.channels import aio_channel, bare_aio_channel, call_metadata, channel, deadline_seconds, file_token
from common.rpc.event_offsets import required_offset, tell_offset
from common.rpc.server import AioRpcServer, Service, make_server, serve_until_signal
from common.rpc.status import from_rpc_error, to_status

__all__ = [
    "AioRpcServer",
    "CallPolicy",
    "LineBudget",
    "Service",
    "aio_channel",
    "bare_aio_channel",
    "call_metadata",
    "channel",
    "deadline_seconds",
    "file_token",
    "from_rpc_error",
    "make_server",
    "required_offset",
    "serve_until_signal",
    "tell_offset",
    "to_status",
]
