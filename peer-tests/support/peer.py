"""A caller: aiortc behind the signalling of this server, with a microphone and an ear."""

import asyncio
import json
import time
import uuid

import aioice.ice
import numpy as np
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)

from .ear import Ear, Hearing
from .microphone import Microphone
from .relay import Relay, without_candidates
from .server import MOUNT, Server

# aioice leaves loopback out, and takes all other addresses of the machine. The tests shall not
# depend on what networks there are.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]


class Refused(Exception):
    def __init__(self, response):
        super().__init__(f"{response.status}: {response.text[:300]}")
        self.response = response


class Peer:
    """One call.

    `channel` is the label of the data channel it makes; `None` leaves it out of the offer, and
    `NOT_MADE` offers data channels and makes none. `codec` offers only that one. `encoder` is used
    instead of aiortc's.
    """

    NOT_MADE = object()

    def __init__(
        self, server: Server, channel="events", codec=None, encoder=None, relay: Relay | None = None
    ):
        self.server, self.relay = server, relay
        self.id = uuid.uuid4().hex
        self.room = f"room-{self.id[:8]}"
        #: What the server said over the data channel, and when.
        self.messages: list[tuple[float, dict]] = []
        self.channel = None
        #: Of the channel that the server made.
        self.servers_label = None
        self.microphone, self.ear = Microphone(), Ear()
        self.answer_sdp = None
        self._following = None
        # No STUN servers: aiortc's default is one on the internet.
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._prepare(channel, codec, encoder)

    def _prepare(self, channel, codec, encoder):
        self.pc.on("track", self._on_track)
        self.pc.on("datachannel", self._on_servers_channel)
        sender = self.pc.addTrack(self.microphone)
        if encoder:
            # There is no setting for it; the sender makes its own only if it has none yet.
            sender._RTCRtpSender__encoder = encoder
        if codec:
            self.pc.getTransceivers()[0].setCodecPreferences(codecs_named(codec))
        if channel is Peer.NOT_MADE:
            # Agreed beforehand as far as aiortc knows, so that it announces nothing.
            self.pc.createDataChannel("unused", negotiated=True, id=1000)
        elif channel is not None:
            self._use(self.pc.createDataChannel(channel))

    def _on_track(self, track):
        self.ear.tap(self.pc.getReceivers()[0])
        self._following = asyncio.ensure_future(self.ear.follow(track))

    def _on_servers_channel(self, channel):
        self.servers_label = channel.label
        self._use(channel)

    def _use(self, channel):
        self.channel = channel
        channel.on("message", self._on_message)

    def _on_message(self, text):
        assert isinstance(text, str), f"a binary message of {len(text)} bytes"
        self.messages.append((time.monotonic(), json.loads(text)))

    # ----- coming and going

    async def make_offer(self) -> str:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        sdp = self.pc.localDescription.sdp
        return without_candidates(sdp) if self.relay else sdp

    async def connect(self, offer: str | None = None) -> "Peer":
        """Offers, and returns once DTLS is through."""
        offer = offer or await self.make_offer()
        response = await self.server.offer(offer, self.id, self.room, "tester")
        if response.status != 200:
            raise Refused(response)
        assert response.json["type"] == "answer", response.text
        return await self.take_answer(response.json["sdp"])

    async def take_answer(self, sdp: str) -> "Peer":
        self.answer_sdp = sdp
        if self.relay:
            sdp = await self.relay.answer_through(sdp)
        await self.pc.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        await self.until_state("connected")
        if self.relay:
            self.relay.on = True
        return self

    async def close(self):
        await self.pc.close()
        if self._following:
            self._following.cancel()
        if self.relay:
            self.relay.close()

    async def hang_up(self):
        return await self.server.hang_up(self.id)

    async def until_state(self, *states: str, within: float = 8) -> float:
        """Waits for a state of the connection; says how many seconds that took."""
        return await self._until(
            lambda: self.pc.connectionState in states,
            within,
            lambda: f"the connection is {self.pc.connectionState}, not {' or '.join(states)}",
        )

    # ----- talking

    async def ready(self, within: float = 8):
        """Waits until the call is one for the server too."""
        if self.channel:
            await self.message("session_started", within)
        else:
            await self.server.until_sessions(1, self.room, within)

    async def talk(self, pcm: np.ndarray) -> Hearing:
        """Says something and hears the echo of it, which begins half a second after its end."""
        await self.microphone.say(pcm)
        try:
            return await self.ear.answer(time.monotonic())
        except AssertionError as error:
            told = [message for _, message in self.messages[-4:]]
            raise AssertionError(f"{error}; {self.pc.connectionState}; told {told}") from error

    def send(self, message):
        self.channel.send(message if isinstance(message, str) else json.dumps(message))

    async def message(self, kind: str, within: float = 8, **fields) -> dict:
        """The first message of a kind, with these fields, that has come or comes."""
        await self._until(
            lambda: self.heard_of(kind, **fields),
            within,
            lambda: f"no {kind} {fields or ''} among {[m for _, m in self.messages]}",
        )
        return self.heard_of(kind, **fields)[0]

    def heard_of(self, kind: str, **fields) -> list[dict]:
        wanted = {"type": kind, **fields}
        return [m for _, m in self.messages if wanted.items() <= m.items()]

    async def _until(self, happened, within: float, problem) -> float:
        began = time.monotonic()
        while not happened():
            if time.monotonic() - began > within:
                raise AssertionError(f"{problem()} after {within} s")
            await asyncio.sleep(0.01)
        return time.monotonic() - began


def codecs_named(name: str) -> list:
    offered = RTCRtpSender.getCapabilities("audio").codecs
    return [codec for codec in offered if codec.mimeType.lower() == f"audio/{name}".lower()]


class WhipPeer(Peer):
    """A caller who comes by WHIP (RFC 9725)."""

    location = None

    async def connect(self, offer: str | None = None) -> "WhipPeer":
        path = f"{MOUNT}/whip?room={self.room}"
        offer = offer or await self.make_offer()
        response = await self.server.request("POST", path, offer, "application/sdp")
        if response.status != 201:
            raise Refused(response)
        self.location = response.headers["location"]
        self.whip_response = response
        return await self.take_answer(response.text)

    async def hang_up(self):
        return await self.server.request("DELETE", self.location)
