"""Control characters, forged lines and headers, wherever a client may write: the log keeps one line for
each event, and no answer has a header that a client wrote."""

import asyncio
import json
import re
import unittest
import uuid
from urllib.parse import quote_from_bytes

from support import routes
from support.case import ServerCase
from support.server import MOUNT
from support.websocket import (
    TEXT,
    UPGRADE,
    Closed,
    WebSocket,
    close_frame,
    frame,
    message,
    several,
)
from support.wire import ask, request

FORGED = "2020-02-02T02:02:02.000000Z"
#: Each as bytes, since not all are text.
VALUES = (
    f"a\r\n{FORGED} ERROR forged: line".encode(),
    f"a\n{FORGED} ERROR forged: line\n".encode(),
    b"a\rb\x0bc\x0cd",
    b"\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2J",
    b"nul\0nul",
    b"\x08\x08\x08\x7f",
    b"\xff\xfe\xc3\x28",
    b"\xc2\x9b31m\xc2\x85",  # CSI and NEL, as UTF-8
    "\u202eevil\u2028line\u2029".encode(),
    b"a\r\nX-Injected: yes\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    b'{"level":"ERROR","message":"forged"}',
    b"%(forged)s {} {forged} ${jndi:ldap://127.0.0.1/a} %n%n%s",
    b"x" * 8000,
)
#: What is in a line of the text format before its message.
LINE = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z +(ERROR|WARN|INFO|DEBUG) \S")
#: All but the end of a line, in any way of writing it.
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class Injection:
    """What is sent; the log's formats are beneath."""

    limits = {
        "max_sessions_per_address": 1000,
        "trusted_proxies": 1,
        "allowed_origins": ["*"],
        "handshake_ms": 1000,
    }
    sections = {"auth": {"tokens": ["key"]}}
    format = "text"

    @classmethod
    def setUpClass(cls):
        cls.top = {"log": "debug", "log_format": cls.format}
        super().setUpClass()

    async def test_what_clients_write_stays_what_it_is(self):
        self._ends_server = True
        host = await WebSocket.call(
            self.server, "/ws?room=lobby", headers=[("Authorization", "Bearer key")]
        )
        self.addCleanup(host.shut)
        requests = self.requests()
        answers = await several([self.sent(data) for data in requests])
        calls = await several([self.called(value) for value in VALUES])
        self.assertTrue(self.server.is_alive(), self.server.log())
        await asyncio.to_thread(self.server.end)
        log = self.server.log_file.read_bytes().decode()
        statuses = {status: answers.count(status) for status in sorted(set(answers), key=str)}
        self.report(
            f"{len(requests)} requests {statuses}, {sum(calls)} messages; {log.count(chr(10))} lines"
        )
        self.assertNotIn("panicked", log)
        for line in log.rstrip("\n").split("\n"):
            self.assertNotRegex(line, CONTROL)
            self.assertFalse(line.startswith(FORGED), line)
            self.is_event(line)

    def requests(self) -> list[bytes]:
        key = ("Authorization", "Bearer key")
        found = []
        for value in VALUES:
            escaped = quote_from_bytes(value, safe="")
            for method, path in (
                ("GET", f"/rooms/{escaped}"),
                ("DELETE", f"/rooms/{escaped}"),
                ("GET", f"/rooms/{escaped}/timeline"),
                ("GET", f"/rooms?status={escaped}"),
                ("GET", f"/page/{escaped}"),
                ("GET", f"/{escaped}"),
                ("DELETE", f"{MOUNT}/webrtc/offer/{escaped}"),
                ("DELETE", f"{MOUNT}/whip/{escaped}"),
                ("PATCH", f"{MOUNT}/whip/{escaped}"),
                ("POST", f"{MOUNT}/whip?room={escaped}"),
            ):
                found.append(request(method, path, [key, ("Content-Type", routes.SDP)], b"v=0"))
            for field in ("room", "participant", "audio", "input_rate", "token", escaped[:200]):
                found.append(request("GET", f"/ws?{field}={escaped}", [*UPGRADE, key]))
            # As they are, which may make two headers of one, or no request at all.
            found.append(request("GET", b"/rooms/" + value, [key]))
            for name in (
                "Origin", "Authorization", "X-Forwarded-For", "Forwarded", "User-Agent", "Host",
                "Cookie", "Sec-WebSocket-Protocol", "Content-Type", "Access-Control-Request-Method",
            ):  # fmt: skip
                found.append(request("GET", "/ws", [*UPGRADE, key, (name, value)]))
                found.append(request("OPTIONS", "/rooms", [("Origin", "http://a"), (name, value)]))
            text = value.decode("utf-8", "replace")
            for path, body in (
                ("/rooms/lobby/messages", {"text": text, "idempotency_key": text}),
                ("/rooms/lobby/messages", {"text": "x", "visibility": [text]}),
                ("/rooms/lobby/messages", {"text": "x", text: text}),
                ("/rooms/lobby/deliveries", {"text": text, "strategy": text}),
                ("/rooms/lobby/recording", {"state": text}),
                ("/tokens", {"scopes": [text]}),
                ("/tokens", {"scopes": ["call"], "room": text, "metadata": {text: text}}),
                (f"{MOUNT}/webrtc/offer", {"type": text, "webrtc_id": text}),
                (f"{MOUNT}/webrtc/offer", {"type": "offer", "webrtc_id": "a", "sdp": text}),
                (f"{MOUNT}/webrtc/offer", {"type": "offer", "webrtc_id": text, "sdp": "v=0"}),
                (f"{MOUNT}/webrtc/offer", candidate(text)),
            ):
                headers = [("Content-Type", routes.JSON), key]
                found.append(request("POST", path, headers, json.dumps(body).encode()))
            found.append(request("POST", "/tokens", [("Content-Type", routes.JSON), key], value))
        return found

    async def sent(self, data: bytes) -> int | None:
        try:
            answer = await ask(self.server, data, within=3)
        except (Closed, TimeoutError):
            return None  # It was not a whole request, or not worth an answer.
        self.assertNotIn("x-injected", answer.headers)
        self.assertNotIn(b"\x1b", answer.body)
        self.assertLess(answer.status, 500, data[:200])
        return answer.status

    async def called(self, value: bytes) -> int:
        """Says it in a call in each way there is; how many messages that was."""
        text = value.decode("utf-8", "replace")
        frames = [
            message("text", text=text),
            message(text),
            message("ping", id=text),
            message("audio", data=text),
            message("recording", on=text),
            message("playback", played_ms=text),
            frame(TEXT, text),
            close_frame(4000, text.encode()[:120].decode("utf-8", "ignore")),
        ]
        headers = [("Authorization", "Bearer key")]
        socket = await WebSocket.call(self.server, headers=headers)
        await socket.send(*frames)
        await socket.closed()
        socket.shut()
        broken = await WebSocket.call(self.server, headers=headers)
        await broken.send(frame(TEXT, value), frame(8, b"\x03\xe8" + value[:100]))
        await broken.closed()
        broken.shut()
        return len(frames) + 2


def candidate(text: str) -> dict:
    return {"type": "ice-candidate", "candidate": text, "webrtc_id": uuid.uuid4().hex}


class InTextLogs(Injection, ServerCase):
    def is_event(self, line: str):
        self.assertRegex(line, LINE)


class InJsonLogs(Injection, ServerCase):
    format = "json"

    def is_event(self, line: str):
        event = json.loads(line)
        self.assertIn(event["level"], ("ERROR", "WARN", "INFO", "DEBUG"))
        self.assertFalse(event["timestamp"].startswith("2020"))


if __name__ == "__main__":
    unittest.main()
