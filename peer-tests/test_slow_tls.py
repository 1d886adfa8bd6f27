"""Clients that take their time with the TLS handshake: each is cut off within its limit, and calls go on."""

import asyncio
import tempfile
import time
import unittest

from support.case import ServerCase
from support.server import Server
from support.tls import Identity, Unwrapped
from support.websocket import WebSocket
from support.wire import Wire, ask, request

#: `handshake_ms`. Beyond it the machine may be slow, and short of it clocks may differ.
HANDSHAKE, SLACK, EARLY = 2, 4, 0.2
#: Slow handshakes of each kind at a time; one address may have 256 connections.
CROWD = 50


class SlowHandshakes(ServerCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="roomkit-tls-")
        cls.addClassCleanup(folder.cleanup)
        cls.identity = Identity(folder.name)
        limits = {"handshake_ms": HANDSHAKE * 1000}
        cls.server = Server(limits=limits, sections={"tls": cls.identity.section()})

    async def asyncSetUp(self):
        self.unwrapped = await Unwrapped.open(self.server, self.identity.trusted())
        self.addCleanup(self.unwrapped.close)

    async def works(self):
        """Somebody else calls over https and is answered; the page is there."""
        caller = await WebSocket.call(self.unwrapped)
        await caller.pong(1)
        await caller.hang_up()
        answer = await ask(self.unwrapped, request("GET", "/", [("Connection", "close")]))
        self.assertEqual(answer.status, 200)

    async def cut_off(self, at_once: bytes, slowly: bytes = b"") -> float:
        """Sends the one, then the other byte by byte until the server hangs up; says after how long."""
        began = time.monotonic()
        wire = await Wire.open(self.server)
        self.addCleanup(wire.close)
        await wire.send(at_once)
        sending = asyncio.ensure_future(wire.send_slowly(slowly, 0.1))
        try:
            await wire.until_closed(HANDSHAKE + SLACK)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return time.monotonic() - began

    async def test_handshakes_that_do_not_end(self):
        hello = self.identity.client_hello()
        self.assertGreater(len(hello) * 0.1, HANDSHAKE + SLACK, "slow enough to be cut off")
        kinds = {
            "nothing": (b"",),
            "the first word byte by byte": (b"", hello),
            "all but the last byte of it": (hello[:-1],),
            "it and then nothing": (hello,),
            "it and then a record byte by byte": (hello, b"\x17\x03\x03\x40\x00" + b"x" * 500),
        }
        before = self.server.descriptors()
        for name, words in kinds.items():
            with self.subTest(name):
                crowd = asyncio.gather(*(self.cut_off(*words) for _ in range(CROWD)))
                await self.works()
                took = await crowd
                self.assertGreater(min(took), HANDSHAKE - EARLY, "a slow client has its time")
                self.report(f"{CROWD} × {name}: cut off after {min(took):.1f} to {max(took):.1f} s")
        await self.works()
        self.assertLessEqual(self.server.descriptors(), before + 5, "each has given its place back")

    async def test_what_is_no_handshake_is_cut_off_at_once(self):
        for words in (request("GET", "/healthz"), b"\x00" * 1000, b"\x16\x03\x01\xff\xff" + b"x" * 9):
            took = await self.cut_off(words)
            self.assertLess(took, HANDSHAKE - EARLY, words[:20])
        await self.works()


if __name__ == "__main__":
    unittest.main()
