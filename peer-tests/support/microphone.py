"""A microphone: silence, and now and then speech, in frames of 20 ms by the clock."""

import asyncio
import fractions
import time

import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

from .measure import RATE

FRAME = RATE // 50


class Microphone(MediaStreamTrack):
    kind = "audio"

    def __init__(self):
        super().__init__()
        self._rest = np.zeros(0, np.float32)
        self._said: asyncio.Event = asyncio.Event()
        self._frames = 0
        self._began = None
        #: When the last utterance began to leave, by `time.monotonic()`.
        self.spoke_at = None

    async def say(self, pcm: np.ndarray):
        """Speaks, and returns when all is said."""
        self._said.clear()
        self.spoke_at = None
        self._rest = pcm
        # Late, when the machine is; never, when aiortc does not take frames any more.
        await asyncio.wait_for(self._said.wait(), len(pcm) / RATE + 20)

    async def recv(self) -> AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        await self._tick()
        return as_frame(self._next(), self._frames - 1)

    async def _tick(self):
        # By the clock and not by sleeps of 20 ms, which would add up to a slow microphone.
        if self._began is None:
            self._began = time.monotonic()
        due = self._began + self._frames * 0.02
        self._frames += 1
        await asyncio.sleep(max(0, due - time.monotonic()))

    def _next(self) -> np.ndarray:
        if len(self._rest) == 0:
            return np.zeros(FRAME, np.float32)
        if self.spoke_at is None:
            self.spoke_at = time.monotonic()
        now, self._rest = self._rest[:FRAME], self._rest[FRAME:]
        if len(self._rest) == 0:
            self._said.set()
        return np.pad(now, (0, FRAME - len(now)))


def as_frame(pcm: np.ndarray, number: int) -> AudioFrame:
    # Stereo with two equal sides: aiortc would make it of mono, but 3 dB quieter.
    samples = (np.clip(pcm, -1, 1) * 32767).astype(np.int16).repeat(2)
    frame = AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="stereo")
    frame.sample_rate = RATE
    frame.time_base = fractions.Fraction(1, RATE)
    frame.pts = number * FRAME
    return frame
