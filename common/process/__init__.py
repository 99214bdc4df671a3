"""What every process is made of, written once: no service, no algorithm and no gRPC is known here.

`backoff` and `contact` say how long to wait after failures in a row and what to log of a peer; `lifecycle` runs a
process until a signal; `worker_pool` keeps child processes running, `forked` or `executed`; `lifeline` and `launch` end
them with their parent, `heartbeat` and `probing` tell whether they live; `periodic` repeats work in a thread,
`upkeep` on an event loop;
`file_lock` excludes other processes; `long_poll` lets calls wait for a change. Modules are imported by their own names,
so that nobody loads what it does not use. Why this is own code: docs/adr/0021-process-kit.md.
"""
