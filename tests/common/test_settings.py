"""Settings of the store, and the variables of AWS that stand in for them."""

from __future__ import annotations

import pytest

from common.settings import AWS_VARIABLES, StoreSettings, forget_settings

KEYS = {"AWS_ACCESS_KEY_ID": "aws-key", "AWS_SECRET_ACCESS_KEY": "aws-secret", "AWS_SESSION_TOKEN": "aws-token"}


@pytest.fixture
def read(monkeypatch):
    """Return a function that reads settings where only some variables are set."""

    def read(environ, **given):
        for name in (*AWS_VARIABLES, "TAILORBIRD_S3_ENDPOINT", "TAILORBIRD_S3_ACCESS_KEY_ID"):
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


def test_secrets_are_not_shown(read):
    assert "aws-secret" not in repr(read(KEYS))
    assert "aws-token" not in repr(read(KEYS))


def test_children_inherit_neither_settings_nor_credentials():
    environ = {"PATH": "/bin", "AWS_ROLE_ARN": "arn", "TAILORBIRD_LISTEN": "x", **KEYS, "AWS_ENDPOINT_URL_S3": "x"}
    forget_settings(environ)
    assert environ == {"PATH": "/bin", "AWS_ROLE_ARN": "arn"}
