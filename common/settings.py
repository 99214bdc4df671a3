"""Settings that several processes share. Only a `__main__` constructs them, and passes values on."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from common.arn import DEFAULT_ACCOUNT, DEFAULT_REGION
from common.aws_profiles import read_profile
from common.errors import InvalidInput

__all__ = [
    "AWS_VARIABLES",
    "AccountSettings",
    "AttributionSettings",
    "CallLimits",
    "ProcessSettings",
    "RecommendationSettings",
    "ServerSettings",
    "StoreSettings",
    "TelemetrySettings",
    "TlsFiles",
    "TlsSettings",
    "forget_settings",
]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Certificates as PEM files.

    A server needs `cert_file` and `key_file`; with `ca_file` it requires client certificates.
    """

    cert_file: Path | None = None
    key_file: Path | None = None
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Limits of one gRPC server; the settings of the same names say what each means."""

    max_calls: int = 1000
    max_wait_seconds: float = 1.0
    max_watches: int = 2000
    receive_seconds: float = 10.0
    send_seconds: float = 30.0
    stream_seconds: float = 60.0
    keepalive_seconds: float = 30.0
    max_idle_seconds: float = 900.0
    max_age_seconds: float = 1800.0
    drain_seconds: float = 0.0


class TlsSettings(BaseSettings):
    """Certificates of a process, and of its probes."""

    model_config = SettingsConfigDict(env_prefix="TAILORBIRD_", frozen=True, extra="ignore")

    tls_cert_file: Path | None = Field(
        None,
        description="Certificate of this process (PEM), shown to callers and to the services that it calls; absent: "
        "plain text. gRPC servers follow a renewed one without a restart.",
    )
    tls_key_file: Path | None = Field(None, description="Private key of that certificate (PEM).")
    tls_ca_file: Path | None = Field(
        None,
        description="Authority (PEM) that peers' certificates are checked with; calls to others need it for TLS, and "
        "gRPC servers that have it refuse callers without a certificate of it.",
    )

    def tls(self) -> TlsFiles | None:
        """Return the certificates, or None for plain text.

        Raises:
            InvalidInput: There is a certificate without its key, or a key without its certificate.
        """
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise InvalidInput("`tls_key_file`: got a certificate or a key alone, want tls_cert_file and tls_key_file")
        if self.tls_cert_file is None and self.tls_ca_file is None:
            return None
        return TlsFiles(self.tls_cert_file, self.tls_key_file, self.tls_ca_file)


class TelemetrySettings(BaseSettings):
    """What a process shows of its work."""

    model_config = SettingsConfigDict(env_prefix="TAILORBIRD_", frozen=True, extra="ignore")

    metrics_listen: str | None = Field(
        None,
        description="HOST:PORT on which `GET /metrics` shows figures to Prometheus, without authentication, to all who "
        "reach it; absent: none are kept. See docs/observability.md.",
    )
    otlp_endpoint: str | None = Field(
        None,
        pattern="^https?://[^/]+$",
        description="`http://HOST:PORT` or `https://HOST:PORT` of a collector that takes traces as OTLP over gRPC; "
        "absent: none are made. Needs the extra `telemetry`. See docs/observability.md.",
    )
    trace_ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the calls that are traced, of those whose caller has not decided.",
    )


class ProcessSettings(TlsSettings, TelemetrySettings):
    """Settings of every process."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Lowest level that is logged.")
    log_form: Literal["json", "text"] = Field("json", description="Form of the log lines on standard error.")
    public_key_file: Path = Field(
        Path("tailorbird-data/keys/public.pem"),
        description="Public key that bearer tokens are checked with (PEM).",
    )
    token_file: Path | None = Field(
        None,
        description="This process's own bearer token, sent to other services; read again when the file changes.",
    )
    audit_puts: bool = Field(
        True,
        description="Whether the audit log has a line for each call of PutEvents and its siblings, as it has for all "
        "other changes.",
    )
    grace_seconds: float = Field(10.0, ge=0, description="Time that running calls get at a stop.")


class AccountSettings(BaseSettings):
    """Settings that appear in ARNs."""

    model_config = SettingsConfigDict(env_prefix="TAILORBIRD_", frozen=True, extra="ignore")

    region: str = Field(
        DEFAULT_REGION, pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", description="Region in ARNs and signatures."
    )
    account_id: str = Field(
        DEFAULT_ACCOUNT,
        pattern=r"^\d{12}$",
        description="The installation's own account, in ARNs: that of access keys and tokens that name none. All "
        "processes need the same.",
    )


class ServerSettings(ProcessSettings, AccountSettings):
    """Additional settings of processes with a gRPC server.

    A call whose caller sends no deadline gets the one that `protos/service_config.json` gives its method.
    """

    max_calls: int = Field(
        1000,
        ge=1,
        description="Calls with a token that are taken at a time, streams of one connection as well; one "
        "more is refused with RESOURCE_EXHAUSTED. Calls between the processes have as many places of their own.",
    )
    max_wait_seconds: float = Field(
        1.0,
        ge=0.1,
        description="How long a call with a token may wait until it is begun. Where calls have waited longer, a worker "
        "refuses calls at once, with RESOURCE_EXHAUSTED (HTTP: `ThrottlingException`), until the wait is half as long; "
        "never those between the processes.",
    )
    max_watches: int = Field(
        2000,
        ge=1,
        description="Streams of gRPC's `Health/Watch`, which need no token, at a time; one more is "
        "answered UNIMPLEMENTED, on which clients go on without watching.",
    )
    receive_seconds: float = Field(10.0, gt=0, description="Time within which a caller has to send its message.")
    send_seconds: float = Field(30.0, gt=0, description="Time within which a caller has to read its answer.")
    stream_seconds: float = Field(60.0, gt=0, description="How long one stream of reflection may last.")
    keepalive_seconds: float = Field(
        30.0,
        ge=1,
        description="How often a silent connection is pinged; without an answer for 10 s it is closed. "
        "Clients may ping as often, with and without calls.",
    )
    max_idle_seconds: float = Field(900.0, ge=1, description="A connection without a call for so long is closed.")
    max_age_seconds: float = Field(
        1800.0,
        ge=1,
        description="A connection gets no new calls after this time, and running ones 90 s more; clients "
        "connect anew by themselves.",
    )
    drain_seconds: float = Field(
        0.0,
        ge=0,
        description="Time at a stop in which the health is NOT_SERVING while calls are served, so that proxies and "
        "clients that watch it go elsewhere.",
    )

    def call_limits(self) -> CallLimits:
        """Return the server's limits."""
        return CallLimits(**{field.name: getattr(self, field.name) for field in fields(CallLimits)})


#: The variables that tell AWS's own programs of S3, by the setting that they give; the first that is set counts.
_AWS_NAMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "s3_endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        "s3_region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
        "s3_access_key_id": ("AWS_ACCESS_KEY_ID",),
        "s3_secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
        "s3_session_token": ("AWS_SESSION_TOKEN",),
        "s3_profile": ("AWS_PROFILE",),
    }
)
#: The variables that say where the files of profiles are.
_PROFILE_FILES: Final = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
_CREDENTIALS: Final = ("s3_access_key_id", "s3_secret_access_key", "s3_session_token")
#: All of them.
AWS_VARIABLES: Final = frozenset(name for names in _AWS_NAMES.values() for name in names) | frozenset(_PROFILE_FILES)


class _AwsVariables(EnvSettingsSource):
    """Reads AWS's own variables, for what is not set otherwise.

    Key, secret and session token belong together: a token of another key would make every request invalid.
    """

    def __call__(self) -> dict[str, Any]:
        """Return the settings that the variables give."""
        taken = set(self.current_state)
        if not taken.isdisjoint(_CREDENTIALS):
            taken |= set(_CREDENTIALS)
        values = {
            setting: next((value for name in names if (value := self.env_vars.get(name.lower()))), None)
            for setting, names in _AWS_NAMES.items()
            if setting not in taken
        }
        return {setting: value for setting, value in values.items() if value is not None}


class _AwsProfile(EnvSettingsSource):
    """Reads the profile of AWS's files that is named, for what neither settings nor variables say."""

    def __call__(self) -> dict[str, Any]:
        """Return the settings that the profile gives.

        Raises:
            InvalidInput: It cannot be read.
        """
        taken = set(self.current_state)
        name = self.current_state.get("s3_profile")
        if not name or taken >= set(_AWS_NAMES):
            return {}
        needs_key = taken.isdisjoint(_CREDENTIALS)
        if not needs_key:
            taken |= set(_CREDENTIALS)
        files = {variable: self.env_vars.get(variable.lower()) or "" for variable in _PROFILE_FILES}
        said = read_profile(name, files, needs_key=needs_key)
        return {setting: value for setting, value in said.items() if setting not in taken}


class StoreSettings(BaseSettings):
    """Settings of the artifact store, and of the service that `s3://` stands for; AWS's own variables count as well."""

    model_config = SettingsConfigDict(env_prefix="TAILORBIRD_", frozen=True, extra="ignore")

    store_url: str = Field("tailorbird-data/store", description="The shared store: a folder, or `s3://BUCKET/PREFIX`.")
    s3_endpoint: str | None = Field(
        None,
        description="Endpoint of an S3-compatible service, for the store and for files of jobs; else "
        "`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`. Of AWS itself: `https://s3.REGION.amazonaws.com`.",
    )
    s3_region: str = Field(
        "us-east-1",
        description="Region given to the S3-compatible service; else `AWS_REGION`, `AWS_DEFAULT_REGION`.",
    )
    s3_access_key_id: str | None = Field(
        None, description="Access key of the S3-compatible service; else `AWS_ACCESS_KEY_ID`."
    )
    s3_secret_access_key: str | None = Field(
        None, repr=False, description="Secret of that access key; else `AWS_SECRET_ACCESS_KEY`."
    )
    s3_session_token: str | None = Field(
        None, repr=False, description="Session token, if that access key is a temporary one; else `AWS_SESSION_TOKEN`."
    )
    s3_profile: str | None = Field(
        None,
        description="Profile of `~/.aws/config` and `~/.aws/credentials` that says what of the five settings above "
        "nothing else does; else `AWS_PROFILE`. Absent: these files are not read.",
    )
    s3_timeout_seconds: float = Field(
        30.0, gt=0, description="Longest wait for one answer of the S3-compatible service."
    )
    s3_retry_seconds: float = Field(
        180.0, ge=0, description="How long one call to the S3-compatible service is tried again while trouble passes."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where settings come from: what is given, the process's own variables, those of AWS, its profile."""
        return init_settings, env_settings, _AwsVariables(settings_cls), _AwsProfile(settings_cls)


class RecommendationSettings(BaseSettings):
    """The setting of processes that make or resolve ids of recommendations."""

    model_config = SettingsConfigDict(env_prefix="TAILORBIRD_", frozen=True, extra="ignore")

    recommendation_key_file: Path | None = Field(
        None,
        description="Keys of the ids of recommendations, the same for runtimes, events services and trainers: each a "
        "line of `tailorbird keys new-master-key`, the first makes ids, all resolve them. Absent: ids say nothing, so "
        "metric attribution has no source for events that name a recommendation.",
    )


class AttributionSettings(RecommendationSettings):
    """The settings of processes that count what recommendations lead to."""

    recommendation_hours: float = Field(
        24.0, gt=0, description="How long after an answer an event may name it, and counts for what answered."
    )


def forget_settings(environ: MutableMapping[str, str]) -> None:
    """Remove all settings, hence all secrets, from an environment that children inherit; each is given its own.

    Clients of S3 read AWS's variables by themselves, and would put them above what the settings say.
    """
    for name in [name for name in environ if name.startswith("TAILORBIRD_") or name in AWS_VARIABLES]:
        del environ[name]
