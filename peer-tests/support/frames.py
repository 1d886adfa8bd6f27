"""Cases of frames: what is sent, and what must come back."""

import json
import time
from dataclasses import dataclass

from .websocket import CLOSE, PONG, TEXT, Closed, WebSocket, frame
from .wire import PATIENCE

#: Close codes, RFC 6455, section 7.4.1.
NORMAL, PROTOCOL, NOT_UTF8, TOO_BIG = 1000, 1002, 1007, 1009


def ping_text(number, length: int | None = None) -> bytes:
    """The text of a client's `ping`, whose `pong` proves that it arrived whole; of this length."""
    text = json.dumps({"type": "ping", "id": number}, ensure_ascii=False)
    if length is not None:
        text = text[:-1] + ', "pad": ""}'
        text = text[:-2] + "x" * (length - len(text.encode())) + '"}'
        assert len(text.encode()) == length, length
    return text.encode()


def told(number) -> tuple:
    """The server has read that `ping`."""
    return "told", number


def pong(payload: bytes) -> tuple:
    """The answer to a ping frame."""
    return "pong", payload


@dataclass
class Case:
    """`sent` is answered by `answers` in this order, and then by a close with one of these codes. With
    none the connection lives on, which a last `ping` proves."""

    name: str
    sent: bytes
    answers: tuple = ()
    close: tuple[int | None, ...] = ()
    #: Sent so many bytes at a time; 0: all at once.
    chop: int = 0

    async def run(self, server) -> str | None:
        """What is wrong, if anything."""
        socket = await WebSocket.call(server)
        try:
            await self._send(socket)
            got, code = await self._collect(socket)
        except TimeoutError:
            return f"{self.name}: nothing came in {PATIENCE} s"
        finally:
            socket.shut()
        wanted = [*self.answers, *([] if self.close else [told("last")])]
        if got != wanted:
            return f"{self.name}: came {shortened(got)}, not {shortened(wanted)}, then {code}"
        if self.close and code not in self.close:
            return f"{self.name}: closed with {code}, not {self.close}"
        return None

    async def _send(self, socket: WebSocket):
        last = b"" if self.close else frame(TEXT, ping_text("last"))
        data, step = self.sent + last, self.chop or len(self.sent + last)
        try:
            for start in range(0, len(data), step):
                await socket.wire.send(data[start : start + step])
        except Closed:
            pass  # What the server sent before it hung up can still be read.

    async def _collect(self, socket: WebSocket) -> tuple[list[tuple], int | None]:
        """What came, and the close code."""
        got, ends = [], time.monotonic() + PATIENCE
        while told("last") not in got:
            try:
                came = await socket.receive(max(0.01, ends - time.monotonic()))
            except Closed:
                return got, None
            if came.opcode == CLOSE:
                return got, came.close_code or NORMAL
            if came.opcode == PONG:
                got.append(pong(came.payload))
            elif came.opcode == TEXT and (text := json.loads(came.payload))["type"] == "pong":
                got.append(told(text["id"]))
        return got, None


def shortened(answers: list[tuple]) -> list[str]:
    return [f"{kind} {str(what)[:40]}" for kind, what in answers]
