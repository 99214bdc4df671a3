"""When a worker takes calls, and what health says of its campaigns; the reasons are in docs/adr/0016.

Workers of a host share a port, so one that listens gets its share of all calls, whatever health says. A worker that
starts and cannot serve a campaign therefore stays off the port for as long as another on it answers for that campaign.
"""

from __future__ import annotations

import asyncio
from typing import Final

import grpc.aio
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.logs import get_logger
from common.rpc import AioRpcServer
from common.rpc.certificates import channel_credentials
from common.settings import TlsFiles
from runtime_service.history.freshness import Freshness
from runtime_service.serving.deployments import DeploymentTable

__all__ = ["ASSIGNMENTS", "HISTORIES", "follow_freshness", "follow_health", "wait_while_others_answer"]

#: Name under which health says whether the control plane has confirmed what is served.
ASSIGNMENTS: Final = "assignments"
#: Name under which health says whether the histories of users are up to date.
HISTORIES: Final = "histories"
_LOOK_SECONDS: Final = 1.0
_log = get_logger(__name__)


async def wait_while_others_answer(table: DeploymentTable, address: str, *, tls: TlsFiles | None) -> None:
    """Return when this worker serves whatever is relied on, or nobody on the port serves what it lacks.

    Args:
        table: What this worker serves.
        address: `host:port` that it will share; it does not listen yet.
        tls: Certificates of this host's workers; None asks in plain text.

    Raises:
        InvalidInput: A certificate is wrong.
    """
    logged: list[str] = []
    while lacking := sorted(filter(table.lacks, table.expected)):
        table.changed.clear()
        if not await _served_by_others(lacking, address, tls):
            _log.error("serving_without", campaigns=lacking)
            return
        if lacking != logged:
            _log.warning("standing_back", campaigns=lacking, cause="other workers of this host serve them")
            logged = lacking
        try:
            await asyncio.wait_for(table.changed.wait(), _LOOK_SECONDS)
        except TimeoutError:
            continue


async def follow_health(table: DeploymentTable, server: AioRpcServer) -> None:
    """Report the health of each campaign, by its ARN, and of the assignments as a whole, until cancelled.

    Args:
        table: What this worker serves.
        server: Has been started.
    """
    reported: dict[str, bool] = {}
    while True:
        table.changed.clear()
        now = {arn: not table.lacks(arn) for arn in table.expected} | {ASSIGNMENTS: table.confirmed}
        for name in reported.keys() - now.keys():
            server.set_part(name, serving=False)
        for name, serving in now.items():
            if reported.get(name) != serving:
                server.set_part(name, serving=serving)
        reported = now
        await table.changed.wait()


async def follow_freshness(freshness: Freshness, server: AioRpcServer) -> None:
    """Report by health whether the histories are up to date, until cancelled.

    A worker with late histories goes on answering from what it has.

    Args:
        freshness: Of this host.
        server: Has been started.
    """
    clock, reported, is_logged = asyncio.get_running_loop().time, None, False
    began = clock()
    while True:
        late = freshness.is_late()
        if late != reported:
            server.set_part(HISTORIES, serving=not late)
            reported = late
        # After a start the log has to be read first.
        if late and not is_logged and clock() - began > freshness.limit_seconds:
            age = freshness.age()
            _log.error("histories_late", seconds=None if age is None else round(age, 1))
            is_logged = True
        elif is_logged and not late:
            _log.info("histories_current")
            is_logged = False
        await asyncio.sleep(_LOOK_SECONDS)


async def _served_by_others(campaign_arns: list[str], address: str, tls: TlsFiles | None) -> bool:
    """Check the health of the server on the port; none, or one with another certificate, counts as no."""
    async with _channel(address, tls) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            for arn in campaign_arns:
                answer = await stub.Check(health_pb2.HealthCheckRequest(service=arn), timeout=_LOOK_SECONDS)
                if answer.status != health_pb2.HealthCheckResponse.SERVING:
                    return False
        except grpc.aio.AioRpcError:
            return False
    return True


def _channel(address: str, tls: TlsFiles | None) -> grpc.aio.Channel:
    """Open a channel to others like this worker; read anew each time, as certificates are renewed."""
    options: list[tuple[str, int | str]] = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    credentials = channel_credentials(tls)
    if tls is None or credentials is None:
        return grpc.aio.insecure_channel(address, options=options)
    # The address may be 0.0.0.0, which no certificate names. Others here prove the same name as this worker.
    if tls.cert_file is not None and (names := _names(tls.cert_file.read_bytes())):
        options.append(("grpc.ssl_target_name_override", names[0]))
    return grpc.aio.secure_channel(address, credentials, options=options)


def _names(certificate: bytes) -> list[str]:
    """Return names, then IP addresses, that a certificate (PEM) is valid for."""
    extensions = x509.load_pem_x509_certificate(certificate).extensions
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    hosts = [name.replace("*", "any") for name in names.get_values_for_type(x509.DNSName)]
    return hosts + [str(address) for address in names.get_values_for_type(x509.IPAddress)]
