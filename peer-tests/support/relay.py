"""A bad network: a UDP relay between a peer and the server that loses, delays and reorders.

The relay puts its own address into the answer, so that the peer sends to it, and takes the peer's
candidates out of the offer, so that the server knows no other way. Chance is seeded: a run can be
repeated, as far as both sides send the same.
"""

import asyncio
import random
import re
from dataclasses import dataclass

_CANDIDATE = re.compile(r"^a=candidate:(\S+) (\d+) (\S+) (\d+) (\S+) (\d+) typ (\S+).*$", re.M)


@dataclass(frozen=True)
class Weather:
    """What happens to packets on their way in one direction."""

    loss: float = 0.0
    #: Each packet is delayed by 0 to so many seconds, evenly spread; so they overtake each other.
    jitter: float = 0.0
    #: Part of the packets that come a second time, 100 ms later.
    replay: float = 0.0
    #: Only RTP and RTCP, not ICE, DTLS and the data channel's SCTP within it.
    media_only: bool = True

    def spares(self, packet: bytes) -> bool:
        # RFC 7983: the first byte tells what is multiplexed on a port.
        return self.media_only and not 128 <= packet[0] <= 191


CLEAR = Weather()
#: Nothing gets through.
OUTAGE = Weather(loss=1.0, media_only=False)


class Relay:
    def __init__(self, up: Weather = CLEAR, down: Weather = CLEAR, seed: int = 1):
        #: Towards the server, and back from it.
        self.up, self.down = up, down
        #: The weather begins once the peers are connected.
        self.on = False
        self.dropped = self.passed = 0
        self._chance = random.Random(seed)
        self._peer = None
        self._outer = self._inner = None

    async def answer_through(self, answer: str) -> str:
        """Opens the relay; gives the answer that leads to it."""
        host, port = server_address(answer)
        loop = asyncio.get_running_loop()
        self._inner, _ = await loop.create_datagram_endpoint(
            lambda: _Socket(self._from_server), remote_addr=(host, port)
        )
        self._outer, _ = await loop.create_datagram_endpoint(
            lambda: _Socket(self._from_peer), local_addr=("127.0.0.1", 0)
        )
        return with_one_candidate(answer, *self._outer.get_extra_info("sockname"))

    def close(self):
        for transport in (self._inner, self._outer):
            if transport:
                transport.close()

    def _from_peer(self, packet: bytes, address):
        self._peer = address
        self._carry(packet, self.up, self._inner.sendto)

    def _from_server(self, packet: bytes, _address):
        if self._peer:
            self._carry(packet, self.down, lambda it: self._outer.sendto(it, self._peer))

    def _carry(self, packet: bytes, weather: Weather, send):
        if not self.on or not packet or weather.spares(packet):
            return send(packet)
        if self._chance.random() < weather.loss:
            self.dropped += 1
            return
        self.passed += 1
        self._later(self._chance.random() * weather.jitter, send, packet)
        if self._chance.random() < weather.replay:
            self._later(0.1, send, packet)

    def _later(self, delay: float, send, packet: bytes):
        if delay == 0:
            return send(packet)
        asyncio.get_running_loop().call_later(delay, self._send_if_open, send, packet)

    def _send_if_open(self, send, packet: bytes):
        if not self._outer.is_closing():
            send(packet)


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, received):
        self.datagram_received = received

    def error_received(self, _error):
        """The other side is gone, which ICE has to find out by itself."""


def server_address(sdp: str) -> tuple[str, int]:
    """Where the server hears: its first candidate that is UDP over IPv4."""
    for found in _CANDIDATE.finditer(sdp):
        _, component, protocol, _, host, port, _ = found.groups()
        if component == "1" and protocol.lower() == "udp" and ":" not in host:
            return host, int(port)
    raise AssertionError(f"no candidate in\n{sdp}")


def without_candidates(sdp: str) -> str:
    return re.sub(r"^a=(candidate:.*|end-of-candidates)\r?\n", "", sdp, flags=re.M)


def with_one_candidate(sdp: str, host: str, port: int) -> str:
    """The same description with another address in it, in its first section that is in use."""
    line = f"a=candidate:1 1 udp 2130706431 {host} {port} typ host\r\n"
    head, *sections = re.split(r"^(?=m=)", without_candidates(sdp), flags=re.M)
    sections[0] += line + "a=end-of-candidates\r\n"
    return head + "".join(sections)
