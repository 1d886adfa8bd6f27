"""A bad network: a UDP relay between a peer and the server that loses, delays and reorders.

The relay puts its own address into the answer, so that the peer sends to it, and takes the peer's
candidates out of the offer, so that the server knows no other way.

What is lost is no throw of a coin for each packet, of which a few seconds of speech are too short a
sample: the same share of each twenty, at places that a seed picks, and never more than two in a row.
Each direction has chance of its own, and each protocol on the way is counted apart, so that how many
reports go by does not decide which part of a word is lost.
"""

import asyncio
import random
import re
from collections import Counter
from dataclasses import dataclass

_CANDIDATE = re.compile(r"^a=candidate:(\S+) (\d+) (\S+) (\d+) (\S+) (\d+) typ (\S+).*$", re.M)

RTP, RTCP, OTHER = "RTP", "RTCP", "other"


def kind_of(packet: bytes) -> str:
    """What is multiplexed on the port: by the first byte (RFC 7983), and RTCP by the second (RFC 5761)."""
    if len(packet) < 2 or not 128 <= packet[0] <= 191:
        return OTHER  # ICE, DTLS, and the data channel's SCTP within it.
    return RTCP if 192 <= packet[1] <= 223 else RTP


@dataclass(frozen=True)
class Weather:
    """What happens to packets on their way in one direction."""

    #: Part of the packets that never arrive.
    loss: float = 0.0
    #: Each packet is delayed by 0 to so many seconds, evenly spread; so they overtake each other.
    jitter: float = 0.0
    #: Part of the packets that come a second time, 100 ms later.
    replay: float = 0.0
    #: Only RTP, so that both sides are told what is lost, and stay connected.
    media_only: bool = True

    def spares(self, kind: str) -> bool:
        return self.media_only and kind != RTP


CLEAR = Weather()
#: Nothing gets through.
OUTAGE = Weather(loss=1.0, media_only=False)


class Losses:
    """Which packets are lost, one after the other: of each `AMONG` the same number, in scattered places."""

    AMONG = 20
    IN_A_ROW = 2

    def __init__(self, loss: float, chance: random.Random):
        self._count = round(loss * self.AMONG)
        assert abs(self._count - loss * self.AMONG) < 1e-6, f"{loss} is no multiple of 1/{self.AMONG}"
        assert loss <= 0.3 or loss == 1, f"{loss} cannot be lost without longer rows"
        self._chance = chance
        #: Of the packets to come.
        self._plan: list[bool] = []
        self._row = 0

    def takes_next(self) -> bool:
        if not self._plan:
            self._plan = self._next_plan()
        lost = self._plan.pop(0)
        self._row = self._row + 1 if lost else 0
        return lost

    def _next_plan(self) -> list[bool]:
        while True:
            places = set(self._chance.sample(range(self.AMONG), self._count))
            plan = [place in places for place in range(self.AMONG)]
            if self._count == self.AMONG or longest_row(plan, self._row) <= self.IN_A_ROW:
                return plan


def longest_row(plan: list[bool], before: int) -> int:
    longest = row = before
    for lost in plan:
        row = row + 1 if lost else 0
        longest = max(longest, row)
    return longest


class Way:
    """One direction."""

    def __init__(self, name: str, weather: Weather, seed: int):
        self._chance = {kind: random.Random(f"{seed} {name} {kind}") for kind in (RTP, RTCP, OTHER)}
        #: How many packets were lost, and how many went on, of each kind.
        self.dropped, self.passed = Counter(), Counter()
        self.change(weather)

    def change(self, weather: Weather):
        self.weather = weather
        self._losses = {kind: Losses(weather.loss, it) for kind, it in self._chance.items()}

    def carry(self, packet: bytes, send):
        weather, kind = self.weather, kind_of(packet)
        chance = self._chance[kind]
        if weather.spares(kind):
            return send(packet)
        if self._losses[kind].takes_next():
            self.dropped[kind] += 1
            return
        self.passed[kind] += 1
        later(chance.random() * weather.jitter, send, packet)
        if chance.random() < weather.replay:
            later(0.1, send, packet)


def later(delay: float, send, packet: bytes):
    if delay == 0:
        send(packet)
    else:
        asyncio.get_running_loop().call_later(delay, send, packet)


class Relay:
    def __init__(self, up: Weather = CLEAR, down: Weather = CLEAR, seed: int = 1):
        #: Towards the server, and back from it.
        self.up, self.down = Way("up", up, seed), Way("down", down, seed)
        #: The weather begins once the peers are connected.
        self.on = False
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

    def change(self, weather: Weather):
        """In both directions, from now on."""
        self.up.change(weather)
        self.down.change(weather)

    def close(self):
        for transport in (self._inner, self._outer):
            if transport:
                transport.close()

    def _from_peer(self, packet: bytes, address):
        self._peer = address
        self._carry(self.up, packet, self._to_server)

    def _from_server(self, packet: bytes, _address):
        if self._peer:
            self._carry(self.down, packet, self._to_peer)

    def _carry(self, way: Way, packet: bytes, send):
        if self.on:
            way.carry(packet, send)
        else:
            send(packet)

    def _to_server(self, packet: bytes):
        if not self._inner.is_closing():
            self._inner.sendto(packet)

    def _to_peer(self, packet: bytes):
        if not self._outer.is_closing():
            self._outer.sendto(packet, self._peer)


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
