"""Profiles of AWS's own programs: access key, region and endpoint of S3 in `~/.aws/config` and `~/.aws/credentials`."""

from __future__ import annotations

from collections.abc import Mapping
from configparser import Error as ConfigError
from configparser import RawConfigParser
from pathlib import Path
from typing import Final

from common.errors import InvalidInput

__all__ = ["read_profile"]

_CONFIG: Final = "~/.aws/config"
_CREDENTIALS: Final = "~/.aws/credentials"
_KEY: Final = {
    "aws_access_key_id": "s3_access_key_id",
    "aws_secret_access_key": "s3_secret_access_key",
    "aws_session_token": "s3_session_token",
}
#: Ways to an access key that need a call first, or a program.
_NOT_READ: Final = ("role_arn", "sso_session", "sso_start_url", "credential_process", "web_identity_token_file")


def read_profile(name: str, environ: Mapping[str, str], *, needs_key: bool) -> dict[str, str]:
    """Return what a profile says, by the names of `StoreSettings`.

    The key is that of the credentials file, else that of the configuration file. An endpoint of S3 alone, which stands
    in a section `services`, comes before the profile's `endpoint_url`.

    Args:
        name: Of the profile.
        environ: Variables; `AWS_CONFIG_FILE` and `AWS_SHARED_CREDENTIALS_FILE` say where the files are.
        needs_key: Whether a profile that has no key, but a way to one, is an error.

    Raises:
        InvalidInput: There is no such profile, a file cannot be read, or there is no key but a way to one where one is
            needed.
    """
    config_path = Path(environ.get("AWS_CONFIG_FILE") or _CONFIG).expanduser()
    credentials_path = Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or _CREDENTIALS).expanduser()
    config, credentials = _read(config_path), _read(credentials_path)
    # The configuration file has `profile` before all names, and before that of the default as it likes.
    section = next((item for item in (f"profile {name}", name) if config.has_section(item)), None)
    in_config = dict(config[section]) if section and (section != name or name == "default") else {}
    in_credentials = dict(credentials[name]) if credentials.has_section(name) else {}
    if not in_config and not in_credentials:
        want = f"a profile of {config_path} or {credentials_path}"
        raise InvalidInput(f"`TAILORBIRD_S3_PROFILE`, `AWS_PROFILE`: got {name!r}, want {want}")
    key = next((item for item in (in_credentials, in_config) if item.get("aws_access_key_id")), {})
    if needs_key and not key and (ways := [way for way in _NOT_READ if way in in_config or way in in_credentials]):
        raise InvalidInput(
            f"`TAILORBIRD_S3_PROFILE`, `AWS_PROFILE`: got {name!r}, a profile with {ways[0]}, want one with "
            "aws_access_key_id: other ways to a key are not followed"
        )
    endpoint = _endpoint_of_s3(config, in_config.get("services", "")) or in_config.get("endpoint_url")
    said = {"s3_endpoint": endpoint, "s3_region": in_config.get("region") or in_credentials.get("region")}
    said |= {setting: key.get(name) for name, setting in _KEY.items()}
    return {setting: value for setting, value in said.items() if value}


def _read(path: Path) -> RawConfigParser:
    # No section gives values to the others: `[DEFAULT]` is none of AWS's.
    parser = RawConfigParser(default_section="\n", interpolation=None, strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8"), source=str(path))
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        # Errors of the parser quote lines, which may hold secrets.
        raise InvalidInput(f"{path}: got {type(error).__name__}, want a file of AWS profiles") from error
    return parser


def _endpoint_of_s3(config: RawConfigParser, services: str) -> str | None:
    """Return the endpoint of S3 in a section of services, whose members are indented lines below the service's name."""
    section = f"services {services}"
    if not config.has_section(section):
        return None
    lines = (line.partition("=") for line in config[section].get("s3", "").splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == "endpoint_url"), None)
