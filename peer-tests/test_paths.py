"""Names that mean other places: of rooms, pages, connections and recordings."""

import os
import re
import tempfile
import unittest
from pathlib import Path
from urllib.parse import quote

from support import routes
from support.case import ServerCase
from support.server import MOUNT
from support.websocket import BINARY, Closed, Refused, WebSocket, frame, several
from support.wire import ask, request

#: As they stand in a request, escaped or not.
TRICKS = (
    "..", "../x", "../../etc/passwd", "..%2f..%2fx", "%2e%2e%2fx", "%2e%2e", "%252e%252e%252fx",
    "..%5cx", "..%c0%afx", "....//x", "%2fetc%2fpasswd", "/etc/passwd", "x%00.wav", "%00", "x%0a",
    "C:%5cx", "%5c%5chost%5cshare", "~root", "-rf", ".", "x/..", "x%2f..", "*", "x?y", "x;y", "%",
    "%zz", "%u002e", "x" * 129, "x" * 5000, quote("\u2025/x"), quote("\uff0e\uff0e\uff0fx"),
    quote("\u2024\u2024\u2215x"), quote("a\u0301"), quote("\u202ex"), quote("a\u200bb"),
)  # fmt: skip
#: What a room may be called, however strange it looks.
STRANGE = (
    "~root",
    "-rf",
    "x" * 128,
    "a..b",
    "...",
    "@",
    "-",
    quote("\u043b\u043e\u0431\u0431\u0438"),
)
TOKEN = "key"
KEY = ("Authorization", "Bearer key")


class Paths(ServerCase):
    """With recordings on, of everybody."""

    limits = {"max_sessions_per_address": 1000}

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="roomkit-paths-")
        cls.addClassCleanup(folder.cleanup)
        # Deep enough that what climbs out is still seen.
        cls.around = Path(folder.name)
        cls.recordings = cls.around / "a/b/recordings"
        cls.recordings.mkdir(parents=True)
        cls.sections = {
            "recording": {
                "sink": "wav",
                "consent": "given",
                "config": {"directory": str(cls.recordings)},
            },
            "auth": {"tokens": [TOKEN]},
        }
        super().setUpClass()

    def files(self) -> tuple[list[Path], list[Path]]:
        """Those of the recordings' folder, and those around it."""
        found = [path for path in self.around.rglob("*") if not path.is_dir()]
        inside = [path for path in found if path.parent == self.recordings]
        return inside, [path for path in found if path not in inside]

    async def test_recordings_stay_in_their_folder(self):
        names = [*TRICKS, *STRANGE]
        paths = [f"/ws?{field}={name}" for field in ("room", "participant") for name in names]
        calls = sum(await several([self.recorded(path) for path in paths]))
        await self.server.until_sessions(0, within=10)
        inside, outside = self.files()
        self.report(f"{len(paths)} callers with strange names: {calls} calls, {len(inside)} files")
        self.assertEqual(outside, [])
        self.assertGreaterEqual(calls, 2 * len(STRANGE))
        self.assertGreaterEqual(len(inside), calls)
        for file in inside:
            self.assertRegex(file.name, r"^[0-9a-f]{32}\.[a-z.]+$")
            self.assertEqual(file.stat().st_mode & 0o077, 0, f"{file} is for others too")
        self.assertEqual(self.stray_files(), [])

    async def recorded(self, path: str) -> bool:
        """Whether that became a call."""
        try:
            socket = await WebSocket.open(self.server, path, headers=[KEY])
        except (Refused, Closed):
            return False
        try:
            started = await socket.until("session_started")
            await socket.send(*[frame(BINARY, b"\x10\x20" * 480)] * 10)
            await socket.hang_up()
            return bool(started)
        except (AssertionError, Closed):
            return False
        finally:
            socket.shut()

    def stray_files(self) -> list[str]:
        """Sound anywhere else that it might have been written, by the names of recordings."""
        places = (os.getcwd(), "/tmp", "/")
        names = (name for place in places for name in os.listdir(place))
        return [name for name in names if re.fullmatch(r"[0-9a-f]{32}\.(wav|ogg|jsonl?)", name)]

    async def test_no_route_leads_elsewhere(self):
        places = (
            "/rooms/{}", "/rooms/{}/timeline", "/rooms/{}/events", "/page/{}", "/page/../{}", "/{}",
            f"{MOUNT}/webrtc/offer/{{}}", f"{MOUNT}/whip/{{}}", f"{MOUNT}/../{{}}", "/rooms/../{}",
        )  # fmt: skip
        requests = [
            request(method, place.format(trick), [KEY])
            for place in places
            for trick in TRICKS
            for method in ("GET", "DELETE")
        ]
        # Other forms of a request's target, RFC 9112, section 3.2.
        for target in (
            "http://evil.example/rooms/x",
            "//rooms/x",
            "*",
            "/rooms//x",
            "rooms",
            "x:443",
        ):
            requests += [request(method, target, [KEY]) for method in ("GET", "OPTIONS", "CONNECT")]
        answers = await several([self.asked(data) for data in requests])
        statuses = [status for status, _ in answers]
        counts = {status: statuses.count(status) for status in sorted(set(statuses), key=str)}
        self.report(f"{len(requests)} requests for strange places: {counts}")
        self.assertLessEqual(set(counts), {200, 400, 404, 405, 410, 414, None})
        for data, (status, body) in zip(requests, answers):
            self.assertNotIn(b"root:", body)
            if data.startswith(b"OPTIONS"):
                self.assertEqual(body, b"", "a question about origins, which has no other answer")
            elif status == 200:
                # What the path is without the query.
                self.assertRegex(data, rb"^GET /[^.%]*\?", body[:100])

    async def asked(self, data: bytes) -> tuple[int | None, bytes]:
        try:
            answer = await ask(self.server, data)
            return answer.status, answer.body
        except (Closed, TimeoutError):
            return None, b""

    async def test_who_is_held_to_a_room_reaches_no_other_by_its_looks(self):
        host = await WebSocket.call(self.server, "/ws?room=lobby", headers=[KEY])
        self.addCleanup(host.shut)
        body = b'{"scopes":["call","watch"],"room":"lobby","participant":"ann"}'
        minting = request("POST", "/tokens", [KEY, ("Content-Type", routes.JSON)], body)
        looks = (
            "Lobby", "lobby%20", "lobby%00", "lobby/", "./lobby", "%6cobby/../other", "lobby,other",
            "l\u043ebby", "\u217cobby", "\uff4cobby", "lo\u0301bby", "lobby\u200b", "lobby%0a",
        )  # fmt: skip
        for look in looks:
            look = look if look.isascii() else quote(look)
            token = (await ask(self.server, minting)).json["token"]
            held = [("Authorization", f"Bearer {token}")]
            read = await ask(self.server, request("GET", f"/rooms/{look}", held))
            self.assertIn(read.status, (400, 403, 404), look)
            with self.subTest(look), self.assertRaises(Refused) as refused:
                (await WebSocket.open(self.server, f"/ws?room={look}", headers=held)).shut()
            self.assertIn(refused.exception.answer.status, (400, 403))
        # Twice, one of them the right one.
        for query in (
            "room=lobby&room=other",
            "room=other&room=lobby",
            "room=lobby&participant=bob",
        ):
            token = (await ask(self.server, minting)).json["token"]
            held = [("Authorization", f"Bearer {token}")]
            try:
                socket = await WebSocket.call(self.server, f"/ws?{query}", headers=held)
                started, _ = socket.started, socket.shut()
                self.assertEqual((started["room_id"], started["participant_id"]), ("lobby", "ann"))
            except Refused as error:
                self.assertIn(error.answer.status, (400, 403))


if __name__ == "__main__":
    unittest.main()
