"""WebSocket (RFC 6455) by hand: every bit of a frame can be set, right or wrong."""

import asyncio
import json
import os
import time
from dataclasses import dataclass

from .wire import PATIENCE, Answer, Closed, Wire, request

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
#: The bits that only an extension may set.
RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10

UPGRADE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)
#: What RFC 6455, section 1.3, makes of that key.
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def frame(
    opcode: int,
    payload: bytes | str = b"",
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    announced: int | None = None,
    form: int | None = None,
) -> bytes:
    """`announced` is the length it says it has; `form` writes that in 7, 16 or 64 bits."""
    payload = payload.encode() if isinstance(payload, str) else payload
    length = len(payload) if announced is None else announced
    form = form or (7 if length < 126 else 16 if length < 65536 else 64)
    first = bytes([(0x80 if fin else 0) | rsv | opcode])
    mask_bit = 0x80 if masked else 0
    if form == 7:
        head = first + bytes([mask_bit | length])
    elif form == 16:
        head = first + bytes([mask_bit | 126]) + length.to_bytes(2)
    else:
        head = first + bytes([mask_bit | 127]) + length.to_bytes(8)
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + mask(payload, key)


def mask(payload: bytes, key: bytes) -> bytes:
    length = len(payload)
    repeated = (key * (length // 4 + 1))[:length]
    return (int.from_bytes(payload) ^ int.from_bytes(repeated)).to_bytes(length)


def close_frame(code: int | None = None, reason: bytes | str = b"") -> bytes:
    reason = reason.encode() if isinstance(reason, str) else reason
    return frame(CLOSE, (b"" if code is None else code.to_bytes(2)) + reason)


def message(kind: str, **fields) -> bytes:
    """A message of the client protocol as one frame."""
    return frame(TEXT, json.dumps({"type": kind, **fields}))


@dataclass
class Frame:
    opcode: int
    payload: bytes
    fin: bool
    rsv: int

    @property
    def close_code(self) -> int | None:
        return int.from_bytes(self.payload[:2]) if len(self.payload) >= 2 else None


class Refused(Exception):
    def __init__(self, answer: Answer):
        super().__init__(f"{answer.status}: {answer.body[:300]}")
        self.answer = answer


class WebSocket:
    """A client that does nothing by itself: it answers no ping and no close."""

    def __init__(self, wire: Wire, headers: dict[str, str]):
        self.wire, self.headers = wire, headers

    @classmethod
    async def open(
        cls, server, path="/ws", source="127.0.0.1", headers=(), receive_buffer=None
    ) -> "WebSocket":
        wire = await Wire.open(server, source, receive_buffer)
        try:
            await wire.send(request("GET", path, (*UPGRADE, *headers)))
            status, fields = await wire.head()
            if status != 101:
                length = int(fields.get("content-length", 0))
                raise Refused(Answer(status, fields, await wire.exactly(length)))
        except BaseException:
            wire.close()
            raise
        assert fields["sec-websocket-accept"] == ACCEPT, fields
        return cls(wire, fields)

    @classmethod
    async def call(cls, server, path="/ws", **options) -> "WebSocket":
        """A client whose session has begun."""
        socket = await cls.open(server, path, **options)
        socket.started = await socket.until("session_started")
        return socket

    def shut(self):
        """Without a goodbye."""
        self.wire.close()

    async def send(self, *frames: bytes):
        await self.wire.send(b"".join(frames))

    async def receive(self, within: float = PATIENCE) -> Frame:
        first, second = await self.wire.exactly(2, within)
        assert second < 128, "servers do not mask"
        length = second
        if length > 125:
            length = int.from_bytes(await self.wire.exactly(2 if length == 126 else 8, within))
        payload = await self.wire.exactly(length, within) if length else b""
        return Frame(first & 0x0F, payload, first >= 128, first & 0x70)

    async def until(self, kind: str, within: float = PATIENCE, **fields) -> dict:
        """The next message of this type with these fields."""
        wanted = {"type": kind, **fields}.items()
        ends = time.monotonic() + within
        while True:
            got = await self.receive(max(0.01, ends - time.monotonic()))
            if got.opcode == CLOSE:
                raise AssertionError(f"closed with {got.close_code} before {kind}: {got.payload!r}")
            if got.opcode == TEXT and wanted <= (told := json.loads(got.payload)).items():
                return told

    async def until_frame(self, opcode: int, within: float = PATIENCE) -> Frame:
        ends = time.monotonic() + within
        while (got := await self.receive(max(0.01, ends - time.monotonic()))).opcode != opcode:
            assert got.opcode != CLOSE, f"closed with {got.close_code}: {got.payload!r}"
        return got

    async def closed(self, within: float = PATIENCE) -> int | None:
        """The code with which the server closes; None if it does so without a word."""
        ends = time.monotonic() + within
        try:
            while (got := await self.receive(max(0.01, ends - time.monotonic()))).opcode != CLOSE:
                pass
        except Closed:
            return None
        return got.close_code

    async def pong(self, number: int, within: float = PATIENCE):
        """Whether the server still reads what comes, and answers."""
        await self.send(message("ping", id=number))
        await self.until("pong", within, id=number)

    async def hang_up(self):
        try:
            await self.send(message("end"), close_frame(1000))
            await self.closed(3)
        except (Closed, TimeoutError, AssertionError):
            pass
        finally:
            self.shut()


async def several(jobs, at_once: int = 20) -> list:
    """Runs coroutines side by side, not all at once; what they return, in their order."""
    places = asyncio.Semaphore(at_once)

    async def one(job):
        async with places:
            return await job

    return await asyncio.gather(*map(one, jobs))
