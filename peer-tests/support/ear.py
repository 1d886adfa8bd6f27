"""What a peer hears: the packets as they came, and what an ideal player makes of them.

aiortc's own receiver is made for servers: its jitter buffer waits for a lost packet until sixteen
more have come, then leaves it out, so that what follows is heard too early, and the end of one
answer when the next one is due. Measured would be aiortc's gaps and not the server's. So packets
are noted as they leave aiortc's SRTP, heard one by one to know when somebody speaks, and laid out by
their timestamps afterwards. aiortc decodes them too; a test shows that it hears the same.
"""

import asyncio
import time
from dataclasses import dataclass

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError

from . import opus
from .measure import FRAME, RATE, SILENCE_DB, level_db, levels_db, resampled


@dataclass
class Packet:
    arrived: float  # by time.monotonic()
    payload_type: int
    sequence: int
    timestamp: int
    payload: bytes


class Ear:
    def __init__(self):
        self.packets: list[Packet] = []
        #: What aiortc's own decoder gave: samples, and their place at its clock rate.
        self.decoded: list[tuple[int, np.ndarray]] = []
        #: When something loud came for the last time.
        self.loud_at = None
        self._listening = None

    def tap(self, receiver):
        """Notes each packet that aiortc decrypted."""
        handle = receiver._handle_rtp_packet

        async def note(packet, arrival_time_ms):
            self._note(
                Packet(
                    time.monotonic(),
                    packet.payload_type,
                    packet.sequence_number,
                    packet.timestamp,
                    packet.payload,
                )
            )
            await handle(packet, arrival_time_ms)

        receiver._handle_rtp_packet = note

    def _note(self, packet: Packet):
        if not self.packets:
            self._listening = decoder_for([packet])[0]()
        self.packets.append(packet)
        if level_db(self._listening.decode(packet.payload)) > SILENCE_DB:
            self.loud_at = packet.arrived

    async def follow(self, track):
        """Takes what aiortc decodes, which has to be done or it piles up."""
        try:
            while True:
                frame = await track.recv()
                self.decoded.append((frame.pts, mono(frame)))
        except MediaStreamError:
            pass

    async def first_sound(self, since: float, timeout: float = 12):
        """Waits until something is heard."""
        await self._until(lambda: (self.loud_at or 0) > since, timeout, "nothing was heard")

    async def answer(self, since: float, timeout: float = 15, quiet: float = 0.8) -> "Hearing":
        """Waits until something was heard and is over."""
        await self.first_sound(since, timeout)
        over = lambda: time.monotonic() - self.loud_at > quiet  # noqa: E731
        await self._until(over, timeout, "what was heard did not end")
        return self.hearing(since)

    def hearing(self, since: float = 0) -> "Hearing":
        return Hearing([packet for packet in self.packets if packet.arrived >= since])

    async def _until(self, happened, timeout: float, otherwise: str):
        end = time.monotonic() + timeout
        while not happened():
            if time.monotonic() > end:
                raise AssertionError(f"{otherwise} in {timeout} s; {len(self.packets)} packets came")
            await asyncio.sleep(0.02)


class Hearing:
    """Packets laid out in time."""

    def __init__(self, packets: list[Packet], conceal: bool = False):
        self.packets = in_order(packets)
        kinds = {packet.payload_type for packet in self.packets}
        assert len(kinds) <= 1, f"payload types {kinds} in one answer"
        self._decoder, self._rate = decoder_for(self.packets)
        pcm, self.lost = lay_out(self.packets, self._decoder(), self._rate, conceal)
        self.pcm = resampled(pcm, self._rate)

    def concealed(self) -> "Hearing":
        """The same as a browser plays it."""
        return Hearing(self.packets, conceal=True)

    @property
    def loss(self) -> float:
        """Part of the packets that never came."""
        return self.lost / max(1, self.lost + len(self.packets))

    @property
    def copies(self) -> float:
        """Part of the packets of Opus that carry a copy of the one before them."""
        return float(np.mean([opus.carries_previous(packet.payload) for packet in self.packets]))

    def speech(self) -> np.ndarray:
        """From the first sound to the last."""
        first, last = self._bounds()
        return self.pcm[first:last]

    def longest_gap_ms(self) -> float:
        """Longest time between two packets while something was heard."""
        first, last = self._bounds()
        arrivals = [
            packet.arrived
            for packet, offset in zip(self.packets, offsets_of(self.packets))
            if first <= offset * RATE // self._rate < last
        ]
        return 1000 * float(np.max(np.diff(sorted(arrivals)), initial=0))

    def loud_ms(self, since: float, until: float) -> int:
        """How much sound arrived between two moments."""
        decode = self._decoder().decode
        loud = 0
        for packet in self.packets:
            # All are decoded, since each leans on the one before it.
            is_loud = level_db(decode(packet.payload)) > SILENCE_DB
            loud += is_loud and since <= packet.arrived < until
        return 20 * loud

    def _bounds(self) -> tuple[int, int]:
        loud = np.flatnonzero(levels_db(self.pcm) > SILENCE_DB)
        assert len(loud), f"{len(self.packets)} packets, all of them silent"
        return int(loud[0]) * FRAME, int(loud[-1] + 1) * FRAME


class G711:
    """aiortc's codec, by FFmpeg."""

    def __init__(self, payload_type: int):
        name = "pcm_mulaw" if payload_type == 0 else "pcm_alaw"
        self._context = av.CodecContext.create(name, "r")
        self._context.layout, self._context.sample_rate = "mono", 8000

    def decode(self, payload: bytes) -> np.ndarray:
        frames = self._context.decode(av.Packet(payload))
        return np.concatenate([mono(frame) for frame in frames] or [np.zeros(0, np.float32)])


def decoder_for(packets: list[Packet]):
    """What makes a decoder for these packets, and its rate."""
    kind = packets[0].payload_type if packets else None
    if kind in (0, 8):
        return (lambda: G711(kind)), 8000
    return opus.Decoder, RATE


def mono(frame: av.AudioFrame) -> np.ndarray:
    samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels)).astype(np.float32)
    return samples.mean(axis=1) / 32768


def in_order(packets: list[Packet]) -> list[Packet]:
    """By their numbers, which begin anew after 65535, each once."""
    if not packets:
        return []
    first = packets[0].sequence

    def place(packet):
        return (packet.sequence - first + 0x8000) & 0xFFFF

    return [packet for _, packet in sorted({place(p): p for p in reversed(packets)}.items())]


def offsets_of(packets: list[Packet]) -> list[int]:
    """Where each begins, counted from the first."""
    return [(packet.timestamp - packets[0].timestamp) & 0xFFFFFFFF for packet in packets]


def lay_out(packets: list[Packet], decoder, rate: int, conceal: bool) -> tuple[np.ndarray, int]:
    """The sound, silent where nothing came unless it is concealed, and how many packets are missing."""
    if not packets:
        return np.zeros(0, np.float32), 0
    offsets = offsets_of(packets)
    assert offsets[-1] < 600 * rate, "timestamps that leap"
    pcm = np.zeros(offsets[-1] + rate, np.float32)
    end, lost, before = 0, 0, packets[0].sequence - 1
    for packet, offset in zip(packets, offsets):
        missing = (packet.sequence - before - 1) & 0xFFFF
        lost, before = lost + missing, packet.sequence
        if conceal and missing and rate == RATE:
            filled = conceal_packets(decoder, missing, packet.payload, rate // 50)
            start = max(0, offset - len(filled))
            pcm[start:offset] = filled[-(offset - start) :]
        sound = decoder.decode(packet.payload)
        pcm[offset : offset + len(sound)] = sound
        end = max(end, offset + len(sound))
    return pcm[:end], lost


def conceal_packets(decoder, missing: int, next_payload: bytes, frame: int) -> np.ndarray:
    """As a browser does: the last one from its copy in the next packet, those before by guessing."""
    guessed = [decoder.conceal(frame) for _ in range(missing - 1)]
    return np.concatenate([*guessed, decoder.recover(next_payload, frame)])
