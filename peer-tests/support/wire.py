"""TCP and HTTP by hand, from any address of loopback: bytes as an attacker sends them."""

import asyncio
import json
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

#: How long anything may take that should come at once, in seconds. CI machines are busy.
PATIENCE = 10


class Closed(Exception):
    """The server has closed the connection."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """What a refusal is called: in the API, or in signalling."""
        try:
            body = self.json
            return body.get("code") or body.get("meta", {}).get("error")
        except (ValueError, AttributeError):
            return None


class Wire:
    """A TCP connection of which nothing is read unasked."""

    def __init__(self, sock: socket.socket):
        self.sock = sock
        self.rest = bytearray()
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, server, source="127.0.0.1", receive_buffer: int | None = None) -> "Wire":
        """`receive_buffer` bytes fit into a connection that nobody reads, instead of megabytes."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.bind((source, 0))
            connecting = asyncio.get_running_loop().sock_connect(sock, address_of(server))
            await asyncio.wait_for(connecting, PATIENCE)
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    def close(self):
        self.sock.close()

    async def send(self, data: bytes, within: float = PATIENCE):
        """Raises `Closed` when nobody is there to take it."""
        try:
            async with asyncio.timeout(within):
                await self._loop.sock_sendall(self.sock, data)
        except (ConnectionError, BrokenPipeError) as error:
            raise Closed from error

    async def send_slowly(self, data: bytes, pause: float):
        """Byte by byte."""
        for byte in data:
            await self.send(bytes([byte]))
            await asyncio.sleep(pause)

    async def read(self, within: float = PATIENCE) -> bytes:
        """What comes next; raises `Closed` at the end."""
        if self.rest:
            data, self.rest = bytes(self.rest), bytearray()
            return data
        try:
            # Not `wait_for`, which forgets a cancellation that comes together with data.
            async with asyncio.timeout(within):
                data = await self._loop.sock_recv(self.sock, 1 << 16)
        except ConnectionError as error:
            raise Closed from error
        if not data:
            raise Closed
        return data

    async def exactly(self, count: int, within: float = PATIENCE) -> bytes:
        ends = time.monotonic() + within
        got = bytearray()
        while len(got) < count:
            got += await self.read(max(0.01, ends - time.monotonic()))
        self.rest = got[count:] + self.rest
        return bytes(got[:count])

    async def until_closed(self, within: float) -> float:
        """Reads until the server closes; says how many seconds that took."""
        began = time.monotonic()
        try:
            while True:
                await self.read(max(0.01, began + within - time.monotonic()))
        except Closed:
            return time.monotonic() - began
        except TimeoutError:
            raise AssertionError(f"the connection is still open after {within} s") from None

    # ----- HTTP

    async def head(self, within: float = PATIENCE) -> tuple[int, dict[str, str]]:
        got = bytearray()
        while b"\r\n\r\n" not in got:
            got += await self.read(within)
        head, self.rest = got.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = (line.split(":", 1) for line in lines)
        return int(first.split()[1]), {name.lower(): value.strip() for name, value in fields}

    async def answer(self, within: float = PATIENCE) -> Answer:
        status, headers = await self.head(within)
        length = int(headers.get("content-length", 0))
        return Answer(status, headers, await self.exactly(length, within) if length else b"")


def address_of(server) -> tuple[str, int]:
    parts = urlsplit(server.url)
    return parts.hostname, parts.port


def request(method: str, path: str, headers=(), body: bytes | None = None) -> bytes:
    """A request, with nothing in it that was not asked for but `Host` and the body's length."""
    lines = [("Host", "127.0.0.1"), *headers]
    if body is not None:
        lines.append(("Content-Length", str(len(body))))
    text = b"%b %b HTTP/1.1\r\n" % (as_bytes(method), as_bytes(path))
    text += b"".join(b"%b: %b\r\n" % (as_bytes(name), as_bytes(value)) for name, value in lines)
    return text + b"\r\n" + (body or b"")


def as_bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


async def ask(server, data: bytes, source="127.0.0.1", within: float = PATIENCE) -> Answer:
    """Sends bytes over a connection of their own; raises `Closed` if they get no answer."""
    wire = await Wire.open(server, source)
    try:
        try:
            await wire.send(data, within)
        except Closed:
            pass  # A server may answer and hang up before it has read all of what it refuses.
        return await wire.answer(within)
    finally:
        wire.close()


async def flood(server, start: bytes, more: bytes, most: int) -> tuple[int | None, int]:
    """Sends `more` again and again until the server hangs up or answers; its status, if it answered
    at all, and how many bytes went out. `most` ends what the server does not."""
    wire = await Wire.open(server)
    sent, answering = 0, asyncio.ensure_future(wire.head())
    try:
        await wire.send(start)
        while sent < most and not answering.done():
            await wire.send(more)
            sent += len(more)
    except Closed:
        pass
    try:
        return (await answering)[0], sent
    except Closed:
        return None, sent
    finally:
        answering.cancel()
        wire.close()
