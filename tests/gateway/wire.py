"""Requests as bytes and connections as sockets, for tests of what no HTTP client sends."""

import socket
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

CAMPAIGN = "arn:aws:personalize:us-east-1:000000000000:campaign/films"
RECOMMENDATIONS = b'{"campaignArn":"%s"}' % CAMPAIGN.encode()


@dataclass
class Response:
    """One HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes


def signed(key, url, path, body, *, target=None, headers=None):
    """Return a signed request as bytes: its head, with the end of the headers, and its body."""
    given = {"Content-Type": "application/json", **({"X-Amz-Target": target} if target else {}), **(headers or {})}
    request = AWSRequest("POST", f"{url}{path}", headers={"Host": urlsplit(url).netloc, **given}, data=body)
    SigV4Auth(Credentials(key.access_key_id, key.secret_access_key), "personalize", "us-east-1").add_auth(request)
    sent = {**dict(request.headers.items()), "Content-Length": str(len(body))}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
    return "\r\n".join(lines).encode(), body


@contextmanager
def connected(url, *, receive_bytes=None):
    """Open a connection to a gateway."""
    parts = urlsplit(url)
    with socket.socket() as opened:
        if receive_bytes:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        opened.settimeout(30)
        opened.connect((parts.hostname, parts.port))
        yield opened


def received(connection):
    """Return all that comes until the other side closes; a reset ends it too."""
    chunks = []
    try:
        while chunk := connection.recv(65536):
            chunks.append(chunk)
    except ConnectionError:
        pass
    return b"".join(chunks)


def read_response(connection):
    """Read one response."""
    text = b""
    while b"\r\n\r\n" not in text:
        chunk = connection.recv(65536)
        assert chunk, f"the connection ended after {text!r}"
        text += chunk
    head, _, body = text.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65536)
    return Response(int(status.split()[1]), headers, body)
