"""Settings of the gateway, read once by its `__main__`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Final, TypedDict

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from common.access_keys import AccessKeys
from common.master_keys import master_key_source
from common.process.forked import Patience
from common.processors import usable_processors
from common.settings import AccountSettings, ProcessSettings
from common.telemetry.process import Telemetry
from gateway.admission import CallLimits
from gateway.auth import Access
from gateway.backends import BACKENDS
from gateway.connections import ConnectionLimits, Stop
from gateway.figures import FIGURES

__all__ = ["GatewaySettings"]

#: The services behind the gateway take the rest of a large machine.
_DEFAULT_WORKERS: Final = 4


class SignatureLimits(TypedDict):
    """Which signatures are valid, by the names of the verifier's arguments.

    Attributes:
        tolerance: How far the time of a request may be from this machine's.
        region: The only region that they may be made for; None for any.
    """

    tolerance: timedelta
    region: str | None


class GatewaySettings(ProcessSettings, AccountSettings):
    """Settings of the gateway; with a certificate and its key it speaks HTTPS."""

    model_config = SettingsConfigDict(env_prefix="TAILORBIRD_", frozen=True, extra="ignore")

    listen: str = Field(
        "127.0.0.1:7400", pattern=r"^.+:\d{1,5}$", description="Address of the HTTP endpoint (HOST:PORT)."
    )
    gateway_workers: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Processes that answer requests on the one address; by default one per processor that this one may "
        "use, at most 4.",
    )
    control_plane: str = Field("127.0.0.1:7401", description="Address of the control plane (HOST:PORT).")
    events_service: str = Field("127.0.0.1:7402", description="Address of the events service (HOST:PORT).")
    runtime_service: str = Field("127.0.0.1:7403", description="Address of the runtime service (HOST:PORT).")
    access_keys_file: Path = Field(
        Path("tailorbird-data/keys/access_keys.json"),
        description="Access keys that requests must be signed with; mode 0600; read again when it changes.",
    )
    master_key_file: Path | None = Field(
        None,
        description="Master key that the secrets of the access keys are encrypted with; mode 0600; absent: the file "
        "`master.key` beside them.",
    )
    master_key: str | None = Field(
        None,
        repr=False,
        description="The master key itself, instead of its file: one, or several separated by commas, of which the "
        "first encrypts.",
    )
    signing_region: str | None = Field(
        None, description="The only region that signatures may be made for; absent: any, so that clients keep theirs."
    )
    clock_tolerance_seconds: float = Field(
        300.0, gt=0, description="How far the time of a request may be from this machine's, either way."
    )
    max_connections: int = Field(
        2000,
        gt=0,
        description="Connections open at a time in each process. Beyond these, idle ones make room, else new ones get "
        "503.",
    )
    max_header_bytes: int = Field(32 * 1024, gt=0, description="Largest request line with headers that is read.")
    header_seconds: float = Field(10.0, gt=0, description="Time that a request's headers may take to come.")
    max_body_bytes: int = Field(4 * 1024 * 1024, gt=0, description="Largest request body that is read.")
    max_buffered_bytes: int = Field(
        64 * 1024 * 1024,
        gt=0,
        description="Size of all bodies held at a time in each process; beyond it requests are throttled.",
    )
    body_seconds: float = Field(10.0, gt=0, description="Time that a request's body may take to come.")
    send_seconds: float = Field(30.0, gt=0, description="Time that a client may leave an answer unread.")
    max_calls_in_flight: int = Field(
        128,
        gt=0,
        description="Calls worked on at a time for each service in each process; beyond, they get "
        "`ThrottlingException`.",
    )
    drain_seconds: float = Field(
        2.0,
        ge=0,
        description="Time at a stop in which `/health` says 503 while calls are served, so that proxies go elsewhere.",
    )
    silent_seconds: float = Field(
        15.0,
        ge=3,
        description="A process of the gateway whose event loop stands still for so long is killed and started again; "
        "four times as long while it starts.",
    )
    allowed_origins: str = Field(
        "",
        description="Origins whose pages may call from a browser, separated by `,`, e.g. `https://shop.example`; `*` "
        "allows all; by default none.",
    )

    def access_keys(self) -> AccessKeys:
        """Return the access keys.

        Raises:
            InvalidInput: The master key is malformed.
        """
        master_keys = master_key_source(text=self.master_key, file=self.master_key_file)
        return AccessKeys(self.access_keys_file, master_keys=master_keys)

    def signatures(self) -> SignatureLimits:
        """Return which signatures are valid."""
        tolerance = timedelta(seconds=self.clock_tolerance_seconds)
        return {"tolerance": tolerance, "region": self.signing_region}

    def access(self) -> Access:
        """Return the permissions of the access keys."""
        return Access(account=self.account_id, region=self.region, audit_puts=self.audit_puts)

    def origins(self) -> list[str]:
        """Return the origins whose pages may call from a browser."""
        return [origin.strip().rstrip("/") for origin in self.allowed_origins.split(",") if origin.strip()]

    def worker_names(self) -> list[str]:
        """Return the names of the processes that answer requests."""
        return [f"worker-{number}" for number in range(self.worker_count())]

    def worker_count(self) -> int:
        """Return how many processes answer requests."""
        return self.gateway_workers or min(_DEFAULT_WORKERS, usable_processors())

    def patience(self) -> Patience:
        """Return how long processes are waited for."""
        return Patience(grace_seconds=self.drain_seconds + self.grace_seconds, silent_seconds=self.silent_seconds)

    def backends(self) -> dict[str, str]:
        """Return the services' addresses by their names."""
        return {name: getattr(self, name) for name in BACKENDS.values()}

    def stop(self) -> Stop:
        """Return how the process stops."""
        return Stop(self.grace_seconds, self.drain_seconds)

    def call_limits(self) -> CallLimits:
        """Return the bounds of the resources that requests use."""
        return CallLimits(
            max_calls_in_flight=self.max_calls_in_flight,
            max_body_bytes=self.max_body_bytes,
            max_buffered_bytes=self.max_buffered_bytes,
        )

    def connection_limits(self) -> ConnectionLimits:
        """Return the bounds of the resources that connections use."""
        return ConnectionLimits(
            max_connections=self.max_connections,
            max_header_bytes=self.max_header_bytes,
            header_seconds=self.header_seconds,
            body_seconds=self.body_seconds,
            send_seconds=self.send_seconds,
        )

    def telemetry(self) -> Telemetry:
        """Return what observes the parts of this service; to be called once, before anything is forked."""
        return Telemetry(self, FIGURES, service="gateway", workers=self.worker_names())
