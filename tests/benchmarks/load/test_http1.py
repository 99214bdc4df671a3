"""Load over HTTP/1.1 is accounted for: a refused call cannot pass for an answered one."""

from dataclasses import replace

from benchmarks.empty_app import empty_app
from benchmarks.gateway import running_gateway
from benchmarks.load.http1 import run_http_load, sign
from common.access_keys import AccessKeys
from tests.benchmarks.load.test_h2load import needs_h2load


@needs_h2load
def test_calls_are_counted_and_timed_and_refused_ones_are_wrong(tmp_path):
    keys = AccessKeys(tmp_path / "keys.json")
    key = keys.create("test")
    with (
        empty_app(processes=2, folder=tmp_path) as empty,
        running_gateway("127.0.0.1:1", keys, processes=1, folder=tmp_path) as gateway,
    ):
        call = sign(f"http://{empty}/events", b"{}", key=key)
        answered = run_http_load(call, connections=3, requests=60)
        refused = run_http_load(replace(call, url=f"http://{gateway}/events"), connections=1, requests=10)

    assert (answered.requests, len(answered.latencies_ms), answered.wrong) == (60, 60, 0)
    assert answered.server_cpu_seconds >= 0
    assert refused.wrong == 10  # the signature is for another host
