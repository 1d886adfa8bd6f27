"""Thousands of connections that want nothing: bounded, harmless to a call, and gone afterwards."""

import asyncio
import resource
import socket
import time
import unittest

from support.bystander import Bystander
from support.case import ServerCase
from support.vendor import Vendor
from support.websocket import WebSocket
from support.wire import address_of

CROWD = 10_000


def setUpModule():
    """Descriptors for the crowd; the server, a child, has as many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def crowd_size() -> int:
    """As many as this machine lets one process have."""
    return min(CROWD, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500)


def connect(server, source: str, data: bytes = b"") -> socket.socket:
    """Begins to connect, and waits for nothing: the server may take it, or leave it in the queue."""
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.setblocking(False)
    one.setsockopt(
        socket.IPPROTO_IP, 24, 1
    )  # IP_BIND_ADDRESS_NO_PORT: the port comes with connect.
    one.bind((source, 0))
    one.connect_ex(address_of(server))
    return one


class Crowd:
    """What a crowd does to others; the crowds are beneath."""

    @classmethod
    def setUpClass(cls):
        cls.vendor = Vendor("--relay")
        cls.addClassCleanup(cls.vendor.stop)
        cls.provider = cls.vendor.provider()
        super().setUpClass()

    async def crowd(self, sources: list[str], count: int, patience: float):
        """Somebody else talks meanwhile, and somebody new comes, who waits no longer than `patience`."""
        caller = await Bystander.call(self.server)
        await asyncio.sleep(0.5)
        memory, descriptors = self.server.memory_mib(), self.server.descriptors()
        crowd = []
        try:
            for number in range(count):
                crowd.append(connect(self.server, sources[number % len(sources)]))
                if number % 100 == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(0.5)
            grown = self.server.memory_mib() - memory
            held = self.server.descriptors() - descriptors
            waited = await self.newcomer(patience + 30)
        finally:
            for one in crowd:
                one.close()
        await self.newcomer(10)
        await self.until_descriptors(descriptors)
        after = self.server.memory_mib() - memory
        problem = await caller.end()
        self.report(
            f"{count} idle connections of {len(sources)}: {held} taken, {grown:+.1f} MiB, a newcomer"
            f" waited {waited:.2f} s, {after:+.1f} MiB afterwards; meanwhile {caller}"
        )
        self.assertIsNone(problem)
        self.assertLess(grown, 64)
        self.assertLess(waited, patience)
        self.assertLess(caller.longest_gap, 2)

    async def newcomer(self, within: float) -> float:
        began = time.monotonic()
        new = await asyncio.wait_for(WebSocket.call(self.server, source="127.0.0.3"), within)
        waited = time.monotonic() - began
        await new.pong(1)
        await new.hang_up()
        return waited

    async def until_descriptors(self, count: int):
        ends = time.monotonic() + 10
        while (now := self.server.descriptors()) > count + 2:
            self.assertLess(time.monotonic(), ends, f"{now} descriptors are left of {count}")
            await asyncio.sleep(0.1)


class OfManyAddresses(Crowd, ServerCase):
    """They take all places there are, each for as long as a request's head may take."""

    limits = {"handshake_ms": 2000}

    async def test_ten_thousand(self):
        await self.crowd([f"127.0.1.{it}" for it in range(1, 11)], crowd_size(), patience=30)


class OfOneAddress(Crowd, ServerCase):
    """They do not, and nobody waits for them to go."""

    limits = {"handshake_ms": 8000}

    async def test_ten_thousand(self):
        await self.crowd(["127.0.1.99"], crowd_size(), patience=4)


if __name__ == "__main__":
    unittest.main()
