"""The process `python -m gateway` before a test's services."""

import json
import subprocess
import sys
import threading
from contextlib import contextmanager

from common.testing import wait_until
from tests.gateway.test_process import environment


@contextmanager
def gateway_process(tmp_path, endpoint, rpc_keys, *, files=None, workers=1, **settings):
    """Run `python -m gateway`; give the process and its address once all its workers serve."""
    given = environment(
        tmp_path,
        ACCESS_KEYS_FILE=str(endpoint.access_keys.path),
        GATEWAY_WORKERS=str(workers),
        **{name.upper(): target for name, target in endpoint.targets.items()},
        **settings,
    )
    (tmp_path / "token").write_text(rpc_keys.token("gateway"))
    (tmp_path / "token").chmod(0o600)
    log = tmp_path / f"gateway-{threading.get_ident()}-{len(list(tmp_path.iterdir()))}.log"
    limited = ["/bin/sh", "-c", f'ulimit -Sn {files} && exec "$@"', "sh"] if files else []
    with log.open("w") as output:
        process = subprocess.Popen(
            [*limited, sys.executable, "-m", "gateway"],
            env=given,
            stderr=output,
        )
    try:
        wait_until(lambda: log.read_text().count('"event": "serving"') == workers or process.poll() is not None)
        (port,) = {line["port"] for line in map(json.loads, log.read_text().splitlines()) if line["event"] == "serving"}
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
