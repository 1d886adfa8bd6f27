"""What all tests have in common."""

import asyncio
import logging
import unittest

from . import measure
from .load import Load
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

    async def in_time(self, talk, check, attempts: int = 8):
        """Talks, and checks what `talk()` gives. Who speaks and who answers do so by the clock, so on a
        machine that was too busy meanwhile a check that fails says nothing yet: it is done again."""
        for left in reversed(range(attempts)):
            load = Load(self.server.process.pid)
            try:
                async with load:
                    heard = await talk()
                return check(heard)
            except AssertionError as error:
                if left == 0 or not load.is_busy:
                    raise
                self.report(f"{load.worst:.2f} s without a processor; again, since {error}")
                # Of what fell apart, a part may still come.
                await asyncio.sleep(4)

    async def are_echoed(self, peers: dict[str, Peer], correlation=0.97, check=None):
        """All say the same at once, and each hears it again. `check` may ask more of a hearing and its
        likeness."""
        said = measure.question()

        async def talk():
            return await asyncio.gather(*(peer.talk(said) for peer in peers.values()))

        def check_all(heard):
            for name, hearing in zip(peers, heard):
                likeness = measure.likeness(said, hearing.pcm)
                self.report(f"{name}: {likeness}")
                self.assertGreater(likeness.correlation, correlation, name)
                if check:
                    check(hearing, likeness)

        await self.in_time(talk, check_all)

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
