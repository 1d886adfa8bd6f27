"""A server that is reached only through its TURN server (coturn)."""

import re
import unittest

from support import turn
from support.case import ServerCase
from support.peer import Peer
from support.server import Server


class ReachedByRelay(Peer):
    """A caller who knows nothing of the server but its relayed address."""

    async def take_answer(self, sdp: str) -> Peer:
        self.candidates = re.findall(r"^a=candidate:.*?(\d+) typ (\w+)", sdp, flags=re.M)
        return await super().take_answer(
            re.sub(r"^a=candidate:.* typ (?!relay).*\r\n", "", sdp, flags=re.M)
        )


@unittest.skipUnless(turn.BINARY, "needs `turnserver`: apt-get install coturn")
class Relays(ServerCase):
    @classmethod
    def setUpClass(cls):
        cls.turn = turn.TurnServer()
        transport = {"interfaces": ["127.0.0.1"], "ice_servers": [cls.turn.as_ice_server()]}
        cls.server = Server(transport, {}, {}, {})

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.turn.stop()

    async def test_a_call_through_the_servers_relay(self):
        peers = [await self.call(ReachedByRelay) for _ in range(2)]
        ports = [port for peer in peers for port, kind in peer.candidates if kind == "relay"]
        self.assertEqual(len(set(ports)), 2, f"each call has an address of its own: {ports}")
        await self.are_echoed(dict(zip(("by the server's relay", "and another one"), peers)))


if __name__ == "__main__":
    unittest.main()
