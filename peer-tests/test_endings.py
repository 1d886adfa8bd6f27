"""How calls end: by the client, by the server, and by nobody saying so."""

import asyncio
import os
import signal
import sys
import time
import unittest
from pathlib import Path

from support import measure
from support.case import ServerCase
from support.relay import CLEAR, OUTAGE, Relay


class ClientsThatLeave(ServerCase):
    async def test_one_that_closes_is_noticed_soon(self):
        peer = await self.call()
        await peer.pc.close()
        took = await self.server.until_sessions(0, peer.room, within=2)
        self.report(f"client closed: noticed after {took:.2f} s")

    async def test_one_that_is_killed_or_frozen_is_noticed_within_15_s(self):
        # The kernel says that a killed one's port is closed; of a frozen one nothing comes at all.
        endings = {"killed": signal.SIGKILL, "frozen": signal.SIGSTOP}
        took = await asyncio.gather(*map(self.seconds_until_noticed, endings, endings.values()))
        self.report(", ".join(f"client {how}: noticed after {s:.1f} s" for how, s in zip(endings, took)))

    async def seconds_until_noticed(self, room: str, how: signal.Signals) -> float:
        client = await self.client_process(room)
        await self.server.until_sessions(1, room)
        client.send_signal(how)
        return await self.server.until_sessions(0, room, within=15)

    async def client_process(self, room: str):
        """A caller in a process of its own, who has begun to talk."""
        client = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "support.vanishing_client",
            self.server.url,
            room,
            cwd=Path(__file__).parent,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=asyncio.subprocess.PIPE,
        )
        self.addAsyncCleanup(client.wait)
        self.addCleanup(kill, client)
        line = await asyncio.wait_for(client.stdout.readline(), 15)
        self.assertEqual(line, b"talking\n")
        return client

    async def test_a_network_that_is_away_for_3_s_ends_no_call(self):
        relay = Relay()
        peer = await self.call(relay=relay)
        relay.change(OUTAGE)
        await asyncio.sleep(3)
        relay.change(CLEAR)
        self.assertEqual(await self.server.sessions(peer.room), 1)
        await asyncio.sleep(0.5)
        heard = await peer.talk(measure.tone(500, 1))
        self.assertAlmostEqual(measure.strongest_tone(heard.speech()).hertz, 500, delta=5)


def kill(client):
    if client.returncode is None:
        client.kill()


class ServersThatEnd(ServerCase):
    top = {"drain_s": 2}

    async def ended(self, peer, reason: str) -> float:
        """Checks that a peer is told, and sees the connection close; in how many seconds."""
        began = time.monotonic()
        message = await peer.message("session_ended", within=6)
        self.assertEqual(message["reason"], reason)
        self.assertIs(peer.messages[-1][1], message, "nothing comes after the end")
        await peer.until_state("closed", "failed", within=5)
        return time.monotonic() - began

    async def test_a_room_that_is_closed(self):
        peer, other = await asyncio.gather(self.call(), self.call())
        await self.server.request("DELETE", f"/rooms/{peer.room}")
        took = await self.ended(peer, "room_closed")
        self.report(f"room closed: the call was over {took:.2f} s later")
        self.assertEqual(other.pc.connectionState, "connected")
        self.assertEqual(other.heard_of("session_ended"), [])

    async def test_sigterm_lets_calls_go_on_for_a_while_and_then_ends_them(self):
        self._ends_server = True
        peer, late = await self.call(), await self.caller()
        offer = await late.make_offer()
        began = time.monotonic()
        self.server.tell(signal.SIGTERM)
        await asyncio.sleep(0.3)
        refused = await self.server.offer(offer, late.id)
        self.assertEqual(refused.status, 503, refused.text)
        await self.ended(peer, "shutdown")
        told, over = peer.messages[-1][0] - began, time.monotonic() - began
        code = await asyncio.to_thread(self.server.process.wait, 10)
        self.report(f"SIGTERM: the call was over {over:.2f} s later, exit code {code}")
        self.assertGreater(told, 1.9, "calls may go on for 2 s")
        self.assertEqual(code, 0)

    def setUp(self):
        # The test of SIGTERM leaves no server to the others.
        if not self.server.is_alive():
            self.tearDownClass()
            self.setUpClass()


class PeersThatNeverConnect(ServerCase):
    transport = {"connect_timeout_ms": 2000}
    limits = {"max_sessions": 3}

    async def test_they_are_gone_after_the_connect_timeout(self):
        # All offers are made before the first is sent, since that takes time.
        one_more, *others = [await self.caller() for _ in range(4)]
        offer = await one_more.make_offer()
        offers = {peer.id: await peer.make_offer() for peer in others}
        began = time.monotonic()
        silent = [await self.offer_and_fall_silent(*it) for it in offers.items()]
        full = await self.server.offer(offer, one_more.id)
        self.assertEqual(full.status, 503, "they hold their places while they may still come")
        while (await self.server.candidate("", silent[0])).status != 410:
            self.assertLess(time.monotonic() - began, 6, "a silent peer is kept")
            await asyncio.sleep(0.1)
        self.report(f"silent peers: gone after {time.monotonic() - began:.1f} s with a limit of 2 s")
        await asyncio.sleep(0.5)
        await one_more.connect(offer)
        await one_more.ready()

    async def offer_and_fall_silent(self, webrtc_id: str, offer: str) -> str:
        answer = await self.server.offer(offer, webrtc_id)
        self.assertEqual(answer.status, 200, answer.text)
        return webrtc_id


if __name__ == "__main__":
    unittest.main()
