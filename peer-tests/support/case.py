"""What all tests have in common."""

import logging
import unittest

from .peer import Peer
from .server import Server

# aiortc says much about connections that these tests break on purpose.
logging.getLogger("aiortc").setLevel(logging.ERROR)
logging.getLogger("aioice").setLevel(logging.ERROR)
logging.getLogger("asyncio").setLevel(logging.CRITICAL)


class ServerCase(unittest.IsolatedAsyncioTestCase):
    """Tests against a server of their own, which has to live when they are through."""

    transport: dict = {}
    limits: dict = {}
    provider: dict = {}
    top: dict = {}
    sections: dict = {}
    environment: dict = {}

    @classmethod
    def setUpClass(cls):
        cls.server = Server(
            cls.transport, cls.limits, cls.provider, cls.top, cls.sections, cls.environment
        )

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    async def asyncTearDown(self):
        if self._ends_server:
            return
        self.assertTrue(self.server.is_alive(), self.server.log())
        self.assertNotIn("panicked", self.server.log(1_000_000))

    #: Set by a test that ends the server itself.
    _ends_server = False

    def report(self, line: str):
        """One line of figures."""
        print(f"\n    {line}", end=" ", flush=True)

    async def caller(self, kind=Peer, **options) -> Peer:
        """A peer that is closed after the test, not connected yet."""
        peer = kind(self.server, **options)
        self.addAsyncCleanup(peer.close)
        return peer

    async def call(self, kind=Peer, **options) -> Peer:
        """A peer in a call."""
        peer = await self.caller(kind, **options)
        await peer.connect()
        await peer.ready()
        return peer
