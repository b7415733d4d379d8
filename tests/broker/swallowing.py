"""A broker whose answers to one client's produce requests can be kept from it: the requests are swallowed on the way.

Everything else passes: heartbeats, fetches, commits, and other clients' requests. So a worker stays a member of its
group while nothing that it sends arrives, which a cut of the whole connection (tests/chaos/proxy.py) would not show.
"""

import asyncio
import struct
from typing import Final

from tests.chaos.proxy import Proxy

_PRODUCE: Final = 0  # Kafka's api key
_HEAD: Final = struct.Struct(">hhih")  # api key, version, correlation id, length of the client id


class SwallowingProxy(Proxy):
    """`client`: the start of the client id whose produce requests vanish while `swallowing`; `swallowed` counts."""

    def __init__(self, port: int, target: int, client: str) -> None:
        self.swallowing = False
        self.swallowed = 0
        self._client = client.encode()
        super().__init__(port, target)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if writer.get_extra_info("peername")[1] != self._target:
            await super()._pump(reader, writer)
            return
        try:
            while True:
                size = await reader.readexactly(4)
                request = await reader.readexactly(int.from_bytes(size, "big"))
                if self.swallowing and self._named(request):
                    self.swallowed += 1
                    continue
                writer.write(size + request)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, OSError):  # either end went away
            pass
        finally:
            writer.close()

    def _named(self, request: bytes) -> bool:
        key, _, _, length = _HEAD.unpack_from(request)
        return bool(key == _PRODUCE and request[_HEAD.size : _HEAD.size + length].startswith(self._client))
