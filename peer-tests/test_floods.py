"""Floods from one address, while somebody at another one talks and has to lose nothing."""

import asyncio
import json
import unittest
import uuid

from support import routes
from support.bystander import Bystander
from support.case import ServerCase
from support.server import MOUNT, candidate_message
from support.vendor import Vendor
from support.websocket import (
    BINARY,
    PING,
    PONG,
    TEXT,
    Closed,
    Refused,
    WebSocket,
    frame,
    message,
    several,
)
from support.wire import Wire, ask, request

TOKEN, KEY = "of-the-backend", [("Authorization", "Bearer of-the-backend")]
PER_ADDRESS = 50
#: What one flood may leave behind, in MiB: buffers, and what rooms may keep of it.
GROWTH = 16

#: Each message a client may send, and some it may not; and how many go out at once.
MESSAGES = {
    "text": (message("text", text="hello"), 500),
    "long texts": (message("text", text="x" * 60_000), 10),
    "interrupt": (message("interrupt"), 500),
    "mute": (message("mute", muted=True) + message("mute", muted=False), 250),
    "playback": (message("playback", played_ms=7), 500),
    "recording": (message("recording", on=True), 500),
    "ping": (message("ping", id="x" * 100), 500),
    "long pings": (message("ping", id="x" * 60_000), 10),
    "ping frames": (frame(PING, bytes(125)), 500),
    "pong frames": (frame(PONG, bytes(125)), 500),
    "unknown": (message("dance"), 500),
    "broken": (frame(TEXT, "{"), 500),
    "audio": (frame(BINARY, bytes(960)), 500),
    "audio as text": (message("audio", data="A" * 1280), 500),
    "half samples": (frame(BINARY, b"x"), 500),
}
BURSTS = 40


class Flood:
    """Who talks meanwhile; the floods are beneath, each kind with a server of its own."""

    limits = {"max_sessions_per_address": PER_ADDRESS}
    sections = {"auth": {"tokens": [TOKEN]}}

    @classmethod
    def setUpClass(cls):
        cls.vendor = Vendor("--relay")
        cls.addClassCleanup(cls.vendor.stop)
        cls.provider = cls.vendor.provider()
        super().setUpClass()

    async def asyncSetUp(self):
        self.before = self.server.memory_mib()
        path = f"/ws?audio=binary&token={TOKEN}"
        self.bystander = await Bystander.call(self.server, path=path)

    async def unharmed(self, what: str, growth: float = GROWTH):
        problem = await self.bystander.end()
        grown = self.server.memory_mib() - self.before
        self.report(f"{what}; {grown:+.1f} MiB; meanwhile {self.bystander}")
        self.assertIsNone(problem)
        # Of which some is this process, which floods and listens by turns.
        self.assertLess(self.bystander.longest_gap, 2)
        self.assertLess(grown, growth)

    async def posts(self, path: str, bodies: list[dict]) -> dict[int, int]:
        """Sends them over a few connections; how often each status came."""
        return await self.requests(
            [
                request(
                    "POST", path, [("Content-Type", routes.JSON), *KEY], json.dumps(body).encode()
                )
                for body in bodies
            ]
        )

    async def requests(self, requests: list[bytes]) -> dict[int, int]:
        counts: dict[int, int] = {}

        async def some(part: list[bytes]):
            wire = await Wire.open(self.server)
            for one in part:
                await wire.send(one)
                status = (await wire.answer()).status
                counts[status] = counts.get(status, 0) + 1
            wire.close()

        await asyncio.gather(*(some(requests[start::8]) for start in range(8)))
        return counts


class OfMessages(Flood, ServerCase):
    async def test_messages_of_every_kind(self):
        for reads in (True, False):
            for kind in MESSAGES:
                with self.subTest(kind, reads=reads):
                    await self.flood_of(kind, reads)
        sent = 2 * BURSTS * sum(count for _, count in MESSAGES.values())
        await self.unharmed(f"{sent} messages of {len(MESSAGES)} kinds")

    async def flood_of(self, kind: str, reads: bool):
        one, count = MESSAGES[kind]
        before = self.server.memory_mib()
        socket = await WebSocket.call(self.server, "/ws", headers=KEY)
        reading = asyncio.ensure_future(socket.closed(60)) if reads else None
        try:
            for _ in range(BURSTS):
                await socket.send(one * count)
                await asyncio.sleep(0)
        except (Closed, TimeoutError):
            pass  # Whoever floods may be sent away.
        finally:
            if reading:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            socket.shut()
        self.assertLess(self.server.memory_mib() - before, GROWTH)


class OfCalls(Flood, ServerCase):
    async def test_calls(self):
        held, refused = [], {}
        for number in range(300):
            # Whom a client says it speaks for is nobody's business without a proxy of one's own.
            headers = [*KEY, ("X-Forwarded-For", f"192.0.2.{number % 250}")]
            try:
                held.append(await WebSocket.open(self.server, headers=headers))
            except Refused as error:
                refused[error.answer.status] = refused.get(error.answer.status, 0) + 1
        self.assertEqual((len(held), refused), (PER_ADDRESS, {429: 300 - PER_ADDRESS}))
        other = await WebSocket.call(self.server, source="127.0.0.3", headers=KEY)
        await other.hang_up()
        for socket in held:
            socket.shut()
        await self.server_has(1)
        await self.unharmed(f"300 calls held: {refused}")

    async def test_calls_that_come_and_go(self):
        async def one():
            socket = await WebSocket.call(self.server, headers=KEY)
            socket.shut()

        await several([one() for _ in range(500)])
        await self.server_has(1)
        await self.unharmed("500 calls begun and dropped")

    async def test_one_token_of_many_callers_at_once(self):
        headers = [("Content-Type", routes.JSON), *KEY]
        minting = request("POST", "/tokens", headers, b'{"scopes":["call"]}')
        token = (await ask(self.server, minting)).json["token"]

        async def one() -> str:
            try:
                socket = await WebSocket.call(self.server, f"/ws?token={token}")
            except Refused as error:
                return error.answer.code
            self.addCleanup(socket.shut)
            return "call"

        results = await several([one() for _ in range(PER_ADDRESS)], at_once=PER_ADDRESS)
        counts = {result: results.count(result) for result in set(results)}
        self.assertEqual(counts, {"call": 1, "token_used": PER_ADDRESS - 1})
        await self.unharmed(f"one token, {PER_ADDRESS} callers: {counts}")

    async def server_has(self, sessions: int):
        await self.server.until_sessions(sessions, within=10)


class OfSignalling(Flood, ServerCase):
    async def test_offers(self):
        offer = await (await self.caller()).make_offer()
        statuses = await self.posts(
            f"{MOUNT}/webrtc/offer",
            [{"sdp": offer, "type": "offer", "webrtc_id": uuid.uuid4().hex} for _ in range(300)],
        )
        self.assertEqual(statuses, {200: PER_ADDRESS, 429: 300 - PER_ADDRESS})
        # They hold places until they have not connected for long enough; then others may come.
        other = await WebSocket.call(self.server, source="127.0.0.3", headers=KEY)
        await other.hang_up()
        # Each of them is a call as far as memory goes.
        await self.unharmed(f"300 offers: {statuses}", growth=GROWTH + 0.6 * PER_ADDRESS)

    async def test_candidates(self):
        candidate = "candidate:1 1 udp 1 127.0.0.1 9 typ host"
        bodies = [candidate_message(candidate, f"nobody-{number}") for number in range(1500)]
        statuses = await self.posts(f"{MOUNT}/webrtc/offer", bodies)
        # The latest are kept: a flood takes nobody else's place.
        self.assertEqual(statuses, {202: 1500})
        await self.unharmed(f"1500 candidates: {statuses}")


class OfRequests(Flood, ServerCase):
    async def test_dashboards(self):
        host = await WebSocket.call(self.server, "/ws?room=lobby", headers=KEY)

        def watch(source: str):
            return WebSocket.open(self.server, "/rooms/lobby/events", source, headers=KEY)

        # As many as one address may have, from as many addresses as it takes.
        watching = await several([watch("127.0.1.1") for _ in range(64)])
        await self.refused(watch("127.0.1.1"), 429, "too_many_dashboards_of_address")
        for other in range(2, 17):
            watching += await several([watch(f"127.0.1.{other}") for _ in range(64)])
        await self.refused(watch("127.0.1.17"), 503, "too_many_dashboards")
        # Calls have places of their own.
        other = await WebSocket.call(self.server, headers=KEY)
        await other.hang_up()
        for socket in (*watching, host):
            socket.shut()
        await self.unharmed("1024 dashboards of 16 addresses, and one too many of one and of all", growth=1024 * 0.05 + GROWTH)

    async def refused(self, opening, status: int, code: str):
        with self.assertRaises(Refused) as refused:
            await opening
        answer = refused.exception.answer
        self.assertEqual((answer.status, answer.code), (status, code))

    async def test_minting(self):
        statuses = await self.posts("/tokens", [{"scopes": ["call"]}] * 3000)
        self.assertLessEqual(set(statuses), {201, 503})
        await self.unharmed(f"3000 tokens: {statuses}")

    async def test_reading(self):
        paths = ("/rooms", "/metrics", "/readyz", "/page/app.js", "/rooms/none/timeline")
        statuses = await self.requests([request("GET", path, KEY) for path in paths * 400])
        self.assertEqual(statuses, {200: 1600, 404: 400})
        await self.unharmed(f"2000 pages: {statuses}")

    async def test_wrong_tokens(self):
        wrong = [("Authorization", f"Bearer {'x' * 4000}")]
        minted = [("Authorization", f"Bearer rk1.{'A' * 4000}.{'B' * 43}")]
        requests = [request("GET", "/rooms", headers) for headers in (wrong, minted) * 1000]
        statuses = await self.requests(requests)
        self.assertEqual(statuses, {401: 2000})
        await self.unharmed(f"2000 wrong tokens: {statuses}")

    async def test_requests_in_a_pipeline_and_connections(self):
        wire = await Wire.open(self.server)
        await wire.send(request("GET", "/healthz") * 500)
        for _ in range(500):
            self.assertEqual((await wire.answer()).status, 200)
        wire.close()
        data = request("GET", "/healthz")
        answers = await several([ask(self.server, data) for _ in range(500)])
        self.assertEqual({answer.status for answer in answers}, {200})
        await self.unharmed("500 requests in one piece, and 500 connections")


if __name__ == "__main__":
    unittest.main()
