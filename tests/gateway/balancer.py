"""A proxy before several gateways that does what load balancers do: asks each for its health, sends nothing again."""

import asyncio
import threading
from contextlib import contextmanager, suppress

import httpx


class Balancer:
    """Passes requests on in turn; a failed request is the client's to see.

    Args:
        backends: Addresses of the gateways.
    """

    def __init__(self, backends):
        self._healthy = dict.fromkeys(backends, True)
        self._turn = 0
        self.port = 0
        self._stop = threading.Event()
        self._listening = threading.Event()

    def healthy(self):
        """Return the gateways that requests go to."""
        return [backend for backend, good in self._healthy.items() if good]

    async def _watch(self, client):
        while not self._stop.is_set():
            for backend in self._healthy:
                try:
                    self._healthy[backend] = (await client.get(f"{backend}/ping", timeout=2)).status_code == 200
                except httpx.HTTPError:
                    self._healthy[backend] = False
            await asyncio.sleep(0.5)

    async def _serve(self, reader, writer):
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode().split("\r\n")
                method, path, _ = lines[0].split()
                headers = dict(line.split(": ", 1) for line in lines[1:] if line)
                sizes = {name.lower(): value for name, value in headers.items()}
                body = await reader.readexactly(int(sizes.get("content-length", "0")))
                writer.write(await self._pass_on(method, path, headers, body))
                await writer.drain()
        writer.close()

    async def _pass_on(self, method, path, headers, body):
        backends = self.healthy()
        self._turn += 1
        backend = backends[self._turn % len(backends)]
        try:
            answer = await self._client.request(method, f"{backend}{path}", headers=headers, content=body)
        except httpx.HTTPError as error:
            text = f"{type(error).__name__}: {error}".encode()
            return b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text)
        head = f"HTTP/1.1 {answer.status_code} x\r\ncontent-length: {len(answer.content)}\r\n\r\n"
        return head.encode() + answer.content

    async def _run(self):
        async with httpx.AsyncClient(timeout=30) as self._client:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            self._listening.set()
            await self._watch(self._client)
            server.close()

    @contextmanager
    def running(self):
        """Serve in a thread, and give the address."""
        thread = threading.Thread(target=asyncio.run, args=(self._run(),))
        thread.start()
        try:
            assert self._listening.wait(30)
            yield f"http://127.0.0.1:{self.port}"
        finally:
            self._stop.set()
            thread.join(timeout=30)
