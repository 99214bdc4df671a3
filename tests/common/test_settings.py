"""Settings of the store, and the variables of AWS that stand in for them."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from common.settings import AWS_VARIABLES, StoreSettings, forget_settings

KEYS = {"AWS_ACCESS_KEY_ID": "aws-key", "AWS_SECRET_ACCESS_KEY": "aws-secret", "AWS_SESSION_TOKEN": "aws-token"}


@pytest.fixture
def read(monkeypatch):
    """Return a function that reads settings where only some variables are set."""

    def read(environ, **given):
        for name in (*AWS_VARIABLES, "TAILORBIRD_S3_ENDPOINT", "TAILORBIRD_S3_ACCESS_KEY_ID", "TAILORBIRD_S3_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return StoreSettings(**given)

    return read


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({"AWS_ENDPOINT_URL": "http://all"}, "http://all"),
        ({"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_S3": "http://s3"}, "http://s3"),
        ({"AWS_ENDPOINT_URL_S3": "http://s3", "TAILORBIRD_S3_ENDPOINT": "http://own"}, "http://own"),
        ({"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_S3": ""}, "http://all"),
        ({}, None),
    ],
)
def test_the_endpoint_is_the_one_that_is_said_most_closely(read, environ, endpoint):
    assert read(environ).s3_endpoint == endpoint


@pytest.mark.parametrize(
    ("environ", "region"),
    [
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "eu-north-1"}, "eu-north-1"),
        ({}, "us-east-1"),
    ],
)
def test_the_region_of_aws_counts(read, environ, region):
    assert read(environ).s3_region == region


def credentials(settings):
    return settings.s3_access_key_id, settings.s3_secret_access_key, settings.s3_session_token


def test_credentials_of_aws_count_together(read):
    assert credentials(read(KEYS)) == ("aws-key", "aws-secret", "aws-token")


def test_no_token_of_aws_is_used_with_another_key(read):
    assert credentials(read({**KEYS, "TAILORBIRD_S3_ACCESS_KEY_ID": "own"})) == ("own", None, None)
    assert credentials(read(KEYS, s3_access_key_id="given", s3_secret_access_key="secret")) == ("given", "secret", None)


CONFIG = """\
[default]
region = us-west-2
endpoint_url = http://default

[profile minio]
region = eu-west-3
endpoint_url = http://every-service
services = local
aws_access_key_id = config-key
aws_secret_access_key = config-secret

[services local]
dynamodb =
  endpoint_url = http://tables
s3 =
  signature_version = s3v4
  endpoint_url = http://minio:9000

[profile assumed]
role_arn = arn:aws:iam::123456789012:role/imports
source_profile = minio
"""
SECRETS = """\
[default]
aws_access_key_id = default-key
aws_secret_access_key = default%secret

[minio]
aws_access_key_id = minio-key
aws_secret_access_key = minio-secret
aws_session_token = minio-token
"""


@pytest.fixture
def profiles(tmp_path):
    """Return the variables that lead to files of profiles."""
    (tmp_path / "config").write_text(CONFIG)
    (tmp_path / "credentials").write_text(SECRETS)
    return {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }


def test_a_profile_says_what_no_variable_does(read, profiles):
    settings = read({**profiles, "AWS_PROFILE": "minio"})
    assert (settings.s3_endpoint, settings.s3_region) == ("http://minio:9000", "eu-west-3")
    assert credentials(settings) == ("minio-key", "minio-secret", "minio-token")

    settings = read({**profiles, "AWS_PROFILE": "minio", "TAILORBIRD_S3_PROFILE": "default", "AWS_REGION": "eu-west-1"})
    assert (settings.s3_endpoint, settings.s3_region) == ("http://default", "eu-west-1")
    assert credentials(settings) == ("default-key", "default%secret", None)


def test_no_part_of_a_profile_s_key_is_used_with_another_key(read, profiles):
    variables = {"AWS_ACCESS_KEY_ID": "aws-key", "AWS_SECRET_ACCESS_KEY": "aws-secret"}
    assert credentials(read({**profiles, **variables, "AWS_PROFILE": "minio"})) == ("aws-key", "aws-secret", None)


def test_profiles_are_not_read_without_a_name(read, profiles):
    settings = read(profiles)
    assert (settings.s3_endpoint, credentials(settings)) == (None, (None, None, None))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("none", "got 'none', want a profile of .*config or .*credentials"),
        ("services local", "got 'services local', want a profile"),
        ("assumed", "got 'assumed', a profile with role_arn, want one with aws_access_key_id"),
    ],
)
def test_a_profile_that_gives_no_key_is_an_error(read, profiles, name, problem):
    with pytest.raises(InvalidInput, match=problem):
        read({**profiles, "AWS_PROFILE": name})


def test_a_profile_without_a_key_will_do_where_there_is_one(read, profiles):
    settings = read({**profiles, **KEYS, "AWS_PROFILE": "assumed"})
    assert credentials(settings) == ("aws-key", "aws-secret", "aws-token")


def test_a_file_that_is_none_of_profiles_is_an_error_that_quotes_none_of_it(read, profiles, tmp_path):
    (tmp_path / "credentials").write_text("aws_secret_access_key = loose-secret\n")
    with pytest.raises(InvalidInput, match="want a file of AWS profiles") as caught:
        read({**profiles, "AWS_PROFILE": "minio"})
    assert "loose-secret" not in caught.value.message


def test_secrets_are_not_shown(read):
    assert "aws-secret" not in repr(read(KEYS))
    assert "aws-token" not in repr(read(KEYS))


def test_children_inherit_neither_settings_nor_credentials():
    environ = {"PATH": "/bin", "AWS_ROLE_ARN": "arn", "TAILORBIRD_LISTEN": "x", **KEYS, "AWS_ENDPOINT_URL_S3": "x"}
    forget_settings(environ)
    assert environ == {"PATH": "/bin", "AWS_ROLE_ARN": "arn"}
