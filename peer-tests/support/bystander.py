"""A caller of another address whose call goes on: numbered audio, all of which has to come back."""

import asyncio
import time

from .websocket import BINARY, Closed, WebSocket, frame

#: 20 ms at 24 kHz.
FRAME = 960


class Bystander:
    """Speaks from its start to its end, through a vendor that sends back what it hears. What comes back
    has to be what was said, byte for byte."""

    def __init__(self, socket: WebSocket):
        self.socket = socket
        self.said, self.heard = bytearray(), bytearray()
        #: The longest time between two pieces of audio that came back, in seconds.
        self.longest_gap = 0.0
        self._came_at = None
        self._tasks = [asyncio.ensure_future(self._speak()), asyncio.ensure_future(self._listen())]

    @classmethod
    async def call(cls, server, source="127.0.0.2", path="/ws?audio=binary") -> "Bystander":
        return cls(await WebSocket.call(server, path, source=source))

    async def _speak(self):
        began, number = time.monotonic(), 0
        while True:
            # Loud or not does not matter to who repeats all; no two frames are the same.
            piece = (number.to_bytes(4) * (FRAME // 4))[:FRAME]
            self.said += piece
            await self.socket.send(frame(BINARY, piece))
            number += 1
            await asyncio.sleep(max(0, began + 0.02 * number - time.monotonic()))

    async def _listen(self):
        while True:
            got = await self.socket.receive(30)
            if got.opcode == BINARY:
                now = time.monotonic()
                self.longest_gap = max(self.longest_gap, now - (self._came_at or now))
                self._came_at = now
                self.heard += got.payload

    async def end(self) -> str | None:
        """Stops speaking, waits for what is on its way, and hangs up. What went wrong, if anything."""
        speaking, listening = self._tasks
        speaking.cancel()
        ends = time.monotonic() + 5
        while len(self.heard) < len(self.said) and time.monotonic() < ends:
            if listening.done():
                break
            await asyncio.sleep(0.02)
        listening.cancel()
        results = await asyncio.gather(speaking, listening, return_exceptions=True)
        await self.socket.hang_up()
        for error in results:
            if isinstance(error, (Closed, OSError, AssertionError)):
                return f"the call was cut after {len(self.said) // FRAME} frames: {error!r}"
        if self.heard != self.said:
            return f"{len(self.said)} bytes said, {len(self.heard)} heard, {self.first_difference()}"
        return None

    def first_difference(self) -> str:
        pairs = enumerate(zip(self.said, self.heard))
        place = next((it for it, (said, heard) in pairs if said != heard), len(self.heard))
        return f"the first difference after {place // FRAME * 20} ms"

    def __str__(self) -> str:
        frames = len(self.heard) // FRAME
        return f"{frames} frames came back, longest gap {1000 * self.longest_gap:.0f} ms"
