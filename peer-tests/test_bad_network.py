"""Speech over a network that loses, delays and reorders packets.

A relay makes one direction bad at a time, so that the other brings unharmed what is measured: what
the server heard comes back as the echo over a clear way, and what the server sends is heard through
the bad one.

What is counted has to be exact, whatever is lost and however busy the machine is: the server knows of
each packet that the relay has dropped, and puts something in its place. What is heard has to be
intelligible, with a wide margin below what was measured (see the README), for a few seconds of
speech are a small sample of any network.

Two limits of aiortc. It encodes speech like music, at 96 kbit/s and without in-band FEC, of which
libopus itself conceals little (measured without a network: correlation 0.6 to 0.8 at 15 % loss, 0.91
to 0.95 for speech coded as speech, 0.98 with FEC). So the callers here encode as browsers do, and
one pair as aiortc does, of whom less is asked. And aiortc neither conceals nor recovers lost
packets: what came down is measured with holes where packets are missing, and as libopus plays it in
a browser, if none of the packets that came is too late.
"""

import asyncio
import unittest
from collections import Counter
from dataclasses import dataclass

from support import measure, opus
from support.case import ServerCase
from support.ear import Hearing
from support.peer import Peer
from support.relay import CLEAR, RTP, Losses, Relay, Weather

JITTER = 0.04
SEED_OF_MESSAGES = 17
#: Callers whose packets are late and not lost. A packet is overtaken when a report is made in four of
#: a hundred, so that one caller alone would often show nothing.
LATE = 8
#: Packets that may be on their way when a call ends, and whose loss nobody can know of.
UNDERWAY = Losses.IN_A_ROW + 2


def bad(loss: float, media_only=True) -> Weather:
    return Weather(loss=loss, jitter=JITTER, media_only=media_only)


@dataclass
class Case:
    """A call over a relay, and what has to be heard at least."""

    name: str
    weather: Weather
    correlation: float
    steady: float
    silent: float


UP = [
    Case("up, clear", CLEAR, 0.97, 0.95, 0.0),
    Case("up, jitter 40 ms", bad(0), 0.95, 0.93, 0.02),
    Case("up, loss 5 %", bad(0.05), 0.93, 0.90, 0.03),
    Case("up, loss 15 %", bad(0.15), 0.92, 0.88, 0.04),
]
UP_LIKE_MUSIC = [
    Case("up, loss 5 %, without FEC", bad(0.05), 0.65, 0.65, 0.12),
    Case("up, loss 15 %, without FEC", bad(0.15), 0.40, 0.40, 0.30),
]
DOWN = [
    Case("down, jitter 40 ms", bad(0), 0.95, 0.95, 0.02),
    Case("down, loss 5 %", bad(0.05), 0.93, 0.91, 0.03),
    Case("down, loss 15 %", bad(0.15), 0.93, 0.90, 0.04),
]


class BadNetwork(ServerCase):
    async def test_what_the_server_hears(self):
        cases = UP + UP_LIKE_MUSIC
        peers = [await self.call_up(case, opus.BrowserEncoder()) for case in UP]
        peers += [await self.call_up(case, encoder=None) for case in UP_LIKE_MUSIC]

        def are_intelligible(heard):
            for case, hearing in zip(cases, heard):
                likeness = measure.likeness(measure.question(), hearing.pcm)
                self.report(f"{case.name}: {likeness}")
                self.is_intelligible(case, likeness)

        await self.in_time(lambda: talk_over(peers), are_intelligible)
        for case, peer in zip(cases, peers):
            frames, dropped = await self.frames_of(peer), peer.relay.up.dropped[RTP]
            self.report(f"{case.name}: {dropped} packets dropped, {dict(frames)}")
            with self.subTest(case.name):
                self.are_accounted_for(frames, dropped)
                self.are_recovered(case, frames, has_copies=case in UP)

    async def call_up(self, case: Case, encoder) -> Peer:
        return await self.call(relay=Relay(up=case.weather), encoder=encoder)

    async def frames_of(self, peer: Peer) -> Counter:
        """What the server says of a caller's packets, which it does once the call is over."""
        before = await self.frames()
        await peer.close()
        await self.server.until_sessions(0, peer.room)
        return await self.frames() - before

    async def frames(self) -> Counter:
        return await self.server.counts("roomkit_webrtc_inbound_frames_total", "outcome")

    def are_accounted_for(self, frames: Counter, dropped: int):
        """Each packet that was lost is known, and something is in its place."""
        self.assertAlmostEqual(frames["lost"] - frames["late"], dropped, delta=UNDERWAY)
        filled = frames["recovered"] + frames["concealed"] + frames["filled"]
        self.assertGreaterEqual(filled, frames["lost"] - UNDERWAY)
        # Of packets that are delayed by up to 40 ms, the next one overtakes 12.5 %.
        self.assertLess(frames["late"], 0.04 * frames["received"], "packets are not waited for")

    def are_recovered(self, case: Case, frames: Counter, has_copies: bool):
        if not has_copies:
            self.assertEqual(frames["recovered"], 0)
        # More than half of what is said is copied, and the packet behind may be lost as well.
        spoken = len(measure.question()) / measure.FRAME
        self.assertGreaterEqual(frames["recovered"], has_copies * 0.25 * case.weather.loss * spoken)

    async def test_what_the_server_sends(self):
        peers = [await self.call_down(case) for case in DOWN]
        # The server adds what is needed to conceal losses once the caller has reported some.
        await talk_over(peers)
        await self.in_time(lambda: talk_over(peers), self.are_playable)

    def are_playable(self, heard):
        for case, hearing in zip(DOWN, heard):
            with_holes = measure.likeness(measure.question(), hearing.pcm)
            played = measure.likeness(measure.question(), hearing.concealed().pcm)
            self.report(f"{case.name}: loss {hearing.loss:.1%}; with holes: {with_holes}")
            self.report(f"    as a browser plays it: {played}")
            self.report(f"    {hearing.copies:.0%} of the packets carry a copy of the one before")
            self.assertAlmostEqual(hearing.loss, case.weather.loss, delta=0.02)
            self.carry_copies_where_they_are_of_use(case, hearing)
            self.is_intelligible(case, played)

    def carry_copies_where_they_are_of_use(self, case: Case, hearing: Hearing):
        # Silence and what is nearly silent have none.
        if case.weather.loss:
            self.assertGreater(hearing.copies, 0.3, case.name)
        else:
            self.assertEqual(hearing.copies, 0, "copies take bits from the voice, and nothing was lost")

    async def call_down(self, case: Case) -> Peer:
        return await self.call(relay=Relay(down=case.weather), encoder=opus.BrowserEncoder())

    async def test_what_is_only_late_is_not_copied(self):
        async def talk():
            peers = [await self.call_late(seed) for seed in range(LATE)]
            for _ in range(2):
                await talk_over(peers)
            hearings = [peer.ear.hearing() for peer in peers]
            await asyncio.gather(*(peer.close() for peer in peers))
            return hearings

        def are_without_copies(heard):
            shares = [hearing.copies for hearing in heard]
            self.report(f"down, jitter 40 ms: {[f'{share:.0%}' for share in shares]} of the packets carry a copy")
            self.assertEqual(max(shares), 0, "copies take bits from the voice, and nothing was lost")

        await self.in_time(talk, are_without_copies)

    async def call_late(self, seed: int) -> Peer:
        return await self.call(relay=Relay(down=bad(0), seed=seed), encoder=opus.BrowserEncoder())

    def is_intelligible(self, case: Case, likeness: measure.Likeness):
        self.assertGreaterEqual(likeness.correlation, case.correlation, case.name)
        self.assertGreaterEqual(likeness.steady, case.steady, case.name)
        self.assertLessEqual(likeness.silent, case.silent, case.name)

    async def test_all_packets_suffer_and_the_messages_arrive_all_the_same(self):
        # Not 15 %: SCTP waits 3 s for the first answer, each time one is lost.
        weather = bad(0.05, media_only=False)
        peer = await self.caller(relay=Relay(weather, weather, seed=SEED_OF_MESSAGES))
        await peer.connect()
        await peer.ready(within=30)
        await peer.talk(measure.question())
        await peer.message("transcription", within=20, role="assistant", is_final=True)
        for number in range(5):
            peer.send({"type": "ping", "id": number})
            await peer.message("pong", within=20, id=number)
        await peer.pc.close()
        # The goodbye may be lost, and is not said again.
        took = await self.server.until_sessions(0, peer.room, within=15)
        self.report(f"5 % of all packets lost: messages came, the goodbye after {took:.1f} s")


async def talk_over(peers: list[Peer]):
    """All speak at once, and hear themselves."""
    return await asyncio.gather(*(peer.talk(measure.question()) for peer in peers))


if __name__ == "__main__":
    unittest.main()
