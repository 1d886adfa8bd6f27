"""Packets that nobody asked for, sent to the port on which a call goes on."""

import asyncio
import random
import socket
import unittest

from support import measure, opus
from support.case import ServerCase
from support.relay import Relay, Weather, server_address


class Attacks(ServerCase):
    async def test_garbage_and_replays_from_another_socket_harm_no_call(self):
        peer = await self.call()
        sent = record_media(peer)
        attack = asyncio.ensure_future(self.attack(server_address(peer.answer_sdp), sent))
        try:
            await self.are_echoed({"under garbage and foreign replays": peer}, check=self.is_steady)
        finally:
            attack.cancel()

    def is_steady(self, _hearing, likeness):
        self.assertGreater(likeness.steady, 0.97)

    async def attack(self, address, recorded: list[bytes]):
        """About 500 packets a second."""
        chance = random.Random(7)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.setblocking(False)
            while True:
                for packet in (*garbage(chance), *chance.sample(recorded, min(5, len(recorded)))):
                    try:
                        stranger.sendto(packet, address)
                    except OSError:
                        pass  # Full for a moment, or refused.
                await asyncio.sleep(0.02)

    async def test_replays_on_the_calls_own_way_are_not_heard(self):
        # Each of the client's packets comes a second time 100 ms later, from the right address.
        relay = Relay(up=Weather(replay=1.0))
        peer = await self.call(relay=relay)
        await self.are_echoed({"each packet twice": peer}, check=self.is_as_long)

    def is_as_long(self, hearing, _likeness):
        said = len(measure.question())
        self.assertAlmostEqual(len(hearing.speech()), said, delta=measure.RATE / 10)

    async def test_damaged_packets_on_the_calls_own_way_are_not_heard(self):
        peer = await self.call(encoder=opus.BrowserEncoder())
        damage_media(peer, every=5)
        # As bad as if they were lost, and no worse.
        await self.are_echoed({"each fifth packet damaged": peer}, 0.9, check=self.is_no_noise)

    def is_no_noise(self, _hearing, likeness):
        # Which would be louder than what was said.
        self.assertLess(likeness.gain_db, 1)


def ice_of(peer):
    return peer.pc.getSenders()[0].transport.transport


def is_media(packet: bytes) -> bool:
    return 128 <= packet[0] <= 191


def record_media(peer) -> list[bytes]:
    """Keeps what a peer sends from now on, encrypted as it goes out."""
    sent, ice = [], ice_of(peer)
    send = ice._send

    async def record(packet):
        if is_media(packet):
            sent.append(packet)
        await send(packet)

    ice._send = record
    return sent


def damage_media(peer, every: int):
    """Turns one bit in the payload of each so-many-th RTP packet (RTCP counts from 192 to 223)."""
    ice, count = ice_of(peer), 0
    send = ice._send

    async def damage(packet):
        nonlocal count
        if is_media(packet) and len(packet) > 60 and not 192 <= packet[1] <= 223:
            count += 1
            if count % every == 0:
                packet = packet[:40] + bytes([packet[40] ^ 1]) + packet[41:]
        await send(packet)

    ice._send = damage


def garbage(chance: random.Random) -> list[bytes]:
    """One packet like each protocol that shares the port (RFC 7983), and of some lengths."""
    body = chance.randbytes(chance.choice((0, 1, 11, 60, 1200)))
    stun = b"\x00\x01" + len(body).to_bytes(2) + b"\x21\x12\xa4\x42" + chance.randbytes(12) + body
    rtp = b"\x80\x60" + chance.randbytes(10) + body
    rtcp = b"\x80\xc8\x00\x06" + chance.randbytes(24)
    dtls = b"\x16\xfe\xfd" + chance.randbytes(10) + body
    return [stun, rtp, rtcp, dtls, body]


if __name__ == "__main__":
    unittest.main()
