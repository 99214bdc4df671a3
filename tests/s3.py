"""A real S3 server in a process of its own, and a connection to it that can be cut."""

from __future__ import annotations

import json
import socket
import socketserver
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import boto3

from common.settings import StoreSettings

#: Buckets that the key may use; others exist and are forbidden, or do not exist.
ALLOWED = ("films", "results", "missing")
FORBIDDEN = "private"


@dataclass(frozen=True)
class S3Server:
    """A running server with two buckets that its key may use, and one that it may not.

    Attributes:
        endpoint: URL of the server.
        access_key_id: A key that may do everything in `ALLOWED`.
        secret_access_key: Its secret.
    """

    endpoint: str
    access_key_id: str
    secret_access_key: str

    def settings(self, **changes: object) -> StoreSettings:
        """Return the settings of a client, by default with the key, and of little patience."""
        settings = StoreSettings(
            s3_endpoint=self.endpoint,
            s3_access_key_id=self.access_key_id,
            s3_secret_access_key=self.secret_access_key,
            s3_timeout_seconds=1.0,
            s3_retry_seconds=1.0,
        )
        return settings.model_copy(update=changes)

    def client(self):
        """Return a boto3 client with the key."""
        return _client("s3", self.endpoint, self.access_key_id, self.secret_access_key)

    def keys(self, bucket: str) -> list[str]:
        """Return the keys of all objects of a bucket."""
        return [item["Key"] for item in self.client().list_objects_v2(Bucket=bucket).get("Contents", [])]


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run a server for as long as the block runs."""
    command = [sys.executable, "-m", "tests.s3_process"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            # It listens before it says where, so nobody else can have taken the port.
            port = process.stdout.readline().strip()
            assert port, "the S3 server: got no port, want one; `python -m tests.s3_process` says why"
            yield _prepared(f"http://127.0.0.1:{port}")
        finally:
            process.kill()


def _prepared(endpoint: str) -> S3Server:
    administrator = (endpoint, "admin", "admin")
    s3, iam = _client("s3", *administrator), _client("iam", *administrator)
    for bucket in ("films", "results", FORBIDDEN):
        s3.create_bucket(Bucket=bucket)
    iam.create_user(UserName="trainer")
    key = iam.create_access_key(UserName="trainer")["AccessKey"]
    resources = [f"arn:aws:s3:::{bucket}{part}" for bucket in ALLOWED for part in ("", "/*")]
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": resources}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="trainer", PolicyName="files", PolicyDocument=policy)
    # From now on the server checks keys, signatures and policies.
    strict = urllib.request.Request(
        f"{endpoint}/moto-api/reset-auth", data=b"0", method="POST", headers={"Content-Type": "text/plain"}
    )
    with urllib.request.urlopen(strict, timeout=60):
        return S3Server(endpoint, key["AccessKeyId"], key["SecretAccessKey"])


def _client(service: str, endpoint: str, access_key_id: str, secret_access_key: str):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
    )


class CutConnection(socketserver.ThreadingTCPServer):
    """Passes connections on to a server and cuts each after so many bytes of its answers.

    Args:
        endpoint: The server.
        answer_bytes: How much of the answers passes on each connection.
    """

    daemon_threads = True

    def __init__(self, endpoint: str, *, answer_bytes: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passage)
        self.upstream = int(endpoint.rpartition(":")[2])
        self.answer_bytes = answer_bytes
        self.connections = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator[CutConnection]:
        thread = threading.Thread(target=self.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


class _Passage(socketserver.BaseRequestHandler):
    server: CutConnection

    def handle(self) -> None:
        self.server.connections += 1
        with socket.create_connection(("127.0.0.1", self.server.upstream)) as upstream:
            forth = threading.Thread(target=_pass, args=(self.request, upstream), daemon=True)
            forth.start()
            left = self.server.answer_bytes
            with suppress(OSError):
                while left and (data := upstream.recv(min(left, 65536))):
                    self.request.sendall(data)
                    left -= len(data)
            for end in (self.request, upstream):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            forth.join(10)


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
