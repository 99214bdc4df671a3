"""What the gateway is told from outside."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from common.settings import ProcessSettings

__all__ = ["GatewaySettings"]


class GatewaySettings(ProcessSettings):
    """Settings of the gateway; with a certificate and its key it speaks HTTPS."""

    model_config = SettingsConfigDict(env_prefix="TAILORBIRD_", frozen=True, extra="ignore")

    listen: str = Field(
        "127.0.0.1:7400", pattern=r"^.+:\d{1,5}$", description="Address of the HTTP endpoint (HOST:PORT)."
    )
    control_plane: str = Field("127.0.0.1:7401", description="Address of the control plane (HOST:PORT).")
    events_service: str = Field("127.0.0.1:7402", description="Address of the events service (HOST:PORT).")
    runtime_service: str = Field("127.0.0.1:7403", description="Address of the runtime service (HOST:PORT).")
    access_keys_file: Path = Field(
        Path("tailorbird-data/keys/access_keys.json"),
        description="Access keys that requests must be signed with; mode 0600; read again when it changes.",
    )
    signing_region: str | None = Field(
        None, description="The only region that signatures may be made for; absent: any, so that clients keep theirs."
    )
    clock_tolerance_seconds: float = Field(
        300.0, gt=0, description="How far the time of a request may be from this machine's, either way."
    )
    max_body_bytes: int = Field(4 * 1024 * 1024, gt=0, description="Largest request body that is read.")
