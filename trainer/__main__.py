"""Starts the trainer: `python -m trainer`."""

from __future__ import annotations

import os
from functools import partial

# One thread of BLAS, here and in trainings: JAX has its own, and those of BLAS wait by spinning. MALLOC, which glibc
# reads when a process begins, for trainings: to clear new pages at every step was a fifth of all processor time.
os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1") | dict(os.environ))
os.environ.update(
    {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)} | dict(os.environ)
)

from common.errors import TailorbirdError
from common.logs import configure_logging
from common.process.lifecycle import run
from common.rpc import channel, file_token, make_server
from common.settings import forget_settings
from common.storage.objects import open_store
from trainer.server import Readiness, lanes, make_handlers, work_until_signal, worker_id
from trainer.settings import TrainerSettings
from trainer.worker.loop import Worker
from trainer.worker.queue import JobQueue


def main() -> None:
    """Work until a signal comes."""
    settings = TrainerSettings()
    forget_settings(os.environ)
    configure_logging("trainer", level=settings.log_level, form=settings.log_form)
    run(work(settings))


async def work(settings: TrainerSettings) -> None:
    """Do jobs and answer probes until a signal comes."""
    telemetry = settings.telemetry()
    server = make_server([], settings, address=settings.listen, observer=telemetry.observer())
    token = file_token(settings.token_file)
    token()  # one that is missing stops the trainer here and not at its first question
    connect = partial(channel, token=token, tls=settings.tls())
    with connect(settings.control_plane) as control_plane, connect(settings.events_service) as events_service:
        handlers = make_handlers(settings, open_store(settings), events_service)
        workers = [
            Worker(
                JobQueue(control_plane, worker_id=worker_id(), kinds=kinds), handlers,
                lease_wait_seconds=settings.lease_wait_seconds, heartbeat_seconds=settings.heartbeat_seconds,
                on_contact=Readiness(server).contact, figures=telemetry.figures(), tracer=telemetry.tracer(),
            )
            for kinds in lanes(handlers, settings)
        ]  # fmt: skip
        with telemetry.shown():
            await work_until_signal(server, workers, grace_seconds=settings.grace_seconds)


if __name__ == "__main__":
    try:
        main()
    except (TailorbirdError, OSError) as error:
        raise SystemExit(f"trainer: {error}") from error
