"""A control plane behind a real gateway, called by boto3 as a user calls it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from common.access_keys import AccessKeys
from common.testing import make_keys, serving
from control_plane.server import ControlPlane
from gateway.backends import BACKENDS
from tests.gateway.conftest import running_gateway


@contextmanager
def personalize(plane: ControlPlane, folder: Path) -> Iterator[Any]:
    """Serve a control plane and give a client of it; the two other services are not there."""
    rpc_keys, access_keys = make_keys(), AccessKeys(folder / "access_keys.json")
    key = access_keys.create("tests")
    with serving(plane.services, keys=rpc_keys) as served:
        targets = dict.fromkeys(BACKENDS.values(), served.target)
        with running_gateway(access_keys, targets, token=rpc_keys.token("gateway")) as url:
            client = boto3.session.Session().client(
                "personalize",
                endpoint_url=url,
                region_name="eu-west-1",
                aws_access_key_id=key.access_key_id,
                aws_secret_access_key=key.secret_access_key,
                config=Config(retries={"total_max_attempts": 1}, read_timeout=20, connect_timeout=5),
            )
            yield client
            client.close()
        plane.long_polls.close()
