"""A control plane behind a real gateway, called by boto3 as a user calls it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from common.access_keys import AccessKey, AccessKeys
from common.testing import make_keys, serving
from control_plane.server import ControlPlane
from gateway.backends import BACKENDS
from tests.gateway.conftest import running_gateway


@contextmanager
def personalize(plane: ControlPlane, folder: Path) -> Iterator[Any]:
    """Serve a control plane and give a client of it; the two other services are not there."""
    with personalize_of([None], plane, folder) as (client,):
        yield client


@contextmanager
def personalize_of(accounts: Sequence[str | None], plane: ControlPlane, folder: Path) -> Iterator[list[Any]]:
    """Serve a control plane and give a client of each account; None is the installation's own."""
    rpc_keys, access_keys = make_keys(), AccessKeys(folder / "access_keys.json")
    with serving(plane.services, keys=rpc_keys) as served:
        targets = dict.fromkeys(BACKENDS.values(), served.target)
        with running_gateway(access_keys, targets, token=rpc_keys.token("gateway")) as url:
            clients = [_client(url, access_keys.create("tests", account=account)) for account in accounts]
            yield clients
            for client in clients:
                client.close()
        plane.long_polls.close()


def _client(url: str, key: AccessKey) -> Any:
    return boto3.session.Session().client(
        "personalize",
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=60, connect_timeout=60),
    )
