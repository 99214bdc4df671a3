"""A real S3 server on a port that it takes itself and prints: `python -m tests.s3_process`."""

from __future__ import annotations

import os

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server


def main() -> None:
    """Serve until the process is killed."""
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    os.environ["MOTO_PORT"] = str(server.port)  # moto names itself by it
    print(server.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
