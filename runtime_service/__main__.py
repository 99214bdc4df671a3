"""Composition root of the runtime: `python -m runtime_service`. Numerics get one thread in each of its processes."""

from __future__ import annotations

import os
from functools import partial

os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

from common.errors import TailorbirdError
from common.logs import configure_logging
from common.process.forked import Beat, Endless, WorkerSpec, run_workers_until_signal
from common.process.shared_port import shared_port
from common.rpc import aio_channel, file_token, make_server
from common.settings import forget_settings
from common.storage.objects import open_store
from runtime_service.features.opener import SnapshotOpener
from runtime_service.history.lmdb import LmdbHistoryReader, LmdbHistoryWriter
from runtime_service.server import Worker, follow_log
from runtime_service.settings import RuntimeSettings


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = RuntimeSettings()
    forget_settings(os.environ)
    configure_logging("runtime_service", level=settings.log_level, form=settings.log_form)
    token, tls, ids = file_token(settings.token_file), settings.tls(), settings.recommendation_ids()
    telemetry = settings.telemetry()
    token(), settings.public_key_file.read_bytes()  # a missing one ends the runtime here, and not at its first question
    settings.prepare_folders()

    def answer(address: str, name: str, beat: Beat) -> Endless:
        return telemetry.until_sent(Worker(
            connect=partial(aio_channel, settings.control_plane, token=token, tls=tls), ids=ids, beat=beat, tls=tls,
            listen=partial(make_server, settings=settings, address=address, reuse_port=True), address=address,
            loader=settings.loader(open_store(settings)),
            features=SnapshotOpener(open_store(settings), cache=settings.features_dir()), telemetry=telemetry,
            histories=LmdbHistoryReader(settings.history_dir, name=name), held=settings.held_positions(), name=name,
            kept=settings.assignments_file(), runtime_id=f"{os.uname().nodename}-{os.getppid()}-{name}",
            folders=settings.local_folders(), limits=settings.limits(), freshness=settings.freshness(),
            ring=settings.answer_ring(name),
        ).run())  # fmt: skip

    def follow(_: Beat) -> Endless:
        connect = partial(aio_channel, settings.events_service, token=token, tls=tls)
        history = LmdbHistoryWriter(settings.history_dir, **settings.history_bounds())
        return follow_log(connect, history, open_store(settings), figures=telemetry.figures("tail"), **settings.tail())

    with shared_port(settings.listen) as address:
        specs = [WorkerSpec(name, partial(answer, address, name)) for name in settings.worker_names()]
        run_workers_until_signal(telemetry.observed([WorkerSpec("tail", follow, turn=1), *specs]), settings.patience())


if __name__ == "__main__":
    try:
        main()
    except (TailorbirdError, OSError) as error:
        raise SystemExit(f"runtime_service: {error}") from error
