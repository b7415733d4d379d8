"""The network between workers and one broker: a TCP proxy on its own event loop and thread that can be cut.

Two kinds of cut. Loud: open connections end, new ones are refused. Silent: bytes wait on both sides and go on when the
cut is over, as packets do that TCP sends again; a client sees nothing but time. Knows nothing of Kafka.
"""

import asyncio
import socket
import threading
from typing import Final

CHUNK_BYTES: Final = 64 << 10
START_SECONDS: Final = 10.0


class Proxy:
    """Listens on `port`, forwards to `target`; both on 127.0.0.1. Runs from the first moment until `stop`."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self._target = port, target
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{port}", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(START_SECONDS)

    @property
    def address(self) -> str:
        """host:port for clients."""
        return f"127.0.0.1:{self.port}"

    def cut(self, *, silent: bool = False) -> None:
        """From now on nothing passes."""
        self._loop.call_soon_threadsafe(self._cut, silent)

    def restore(self) -> None:
        """Everything passes again; what waited in a silent cut goes on."""
        self._loop.call_soon_threadsafe(self._restore)

    def stop(self) -> None:
        """End all connections and the thread."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(START_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_SECONDS)
        self._loop.close()

    async def _serve(self) -> None:
        self._open.set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    def _cut(self, silent: bool) -> None:
        self._open.clear()
        self._refusing = not silent
        if not silent:
            for writer in self._writers:
                writer.transport.abort()

    def _restore(self) -> None:
        self._refusing = False
        self._open.set()

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:  # the broker is down, and the client shall see it
            self._writers.discard(writer)
            writer.transport.abort()
            return
        self._writers.add(broker_writer)
        for one in (writer, broker_writer):
            one.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, broker_writer))
                both.create_task(self._pump(broker_reader, writer))
        finally:
            for one in (writer, broker_writer):
                self._writers.discard(one)
                one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                await self._open.wait()
                writer.write(chunk)
                await writer.drain()
        except (ConnectionError, OSError):  # either end went away
            pass
        finally:
            writer.close()  # the other direction ends with it: Kafka's clients never close half
