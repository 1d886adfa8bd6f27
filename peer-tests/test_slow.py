"""Clients who take their time: each is cut off within its limit, or holds one bounded place."""

import asyncio
import json
import re
import time
import unittest

from support import routes
from support.case import ServerCase
from support.websocket import BINARY, TEXT, Refused, WebSocket, frame, several
from support.wire import Wire, ask, request

#: `handshake_ms`, which bounds a request's head and the bodies of signalling; the bodies of the rest
#: have 10 s. Beyond that the machine may be slow.
HANDSHAKE, BODY, SLACK = 2, 10, 4
#: How long a client may take nothing of an answer.
UNREAD = 20
UPGRADES = ("/ws", "/rooms/lobby/events")


class Slow(ServerCase):
    limits = {"handshake_ms": HANDSHAKE * 1000, "max_sessions_per_address": 40}

    async def asyncSetUp(self):
        self.host = await WebSocket.call(self.server, "/ws?room=lobby", source="127.0.0.9")

    async def asyncTearDown(self):
        await self.works()
        await self.host.hang_up()
        await super().asyncTearDown()

    async def works(self):
        """Somebody else calls and is answered."""
        caller = await WebSocket.call(self.server, source="127.0.0.2")
        await caller.pong(1)
        await caller.hang_up()

    def test_every_route_is_attacked(self):
        attacked = {path for _, path, _ in routes.ROUTES}
        for route in routes.in_the_source():
            pattern = re.sub(r"\{\w+\}", "[^/]+", route)
            self.assertTrue(any(re.fullmatch(pattern, path) for path in attacked), route)

    async def cut_off(self, name: str, data: bytes, within: float, first: bytes = b"") -> float:
        """Sends `first` at once and `data` byte by byte until the server hangs up; says after how long."""
        wire = await Wire.open(self.server)
        began = time.monotonic()
        try:
            await wire.send(first)
            sending = asyncio.ensure_future(wire.send_slowly(data, 0.1))
            try:
                return await wire.until_closed(within + SLACK)
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from None
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        finally:
            wire.close()
            self.assertLess(time.monotonic() - began, within + SLACK + 1, name)

    async def test_a_head_byte_by_byte(self):
        jobs = [
            self.cut_off(
                f"{method} {path}", request(method, path, [("X-Pad", "x" * 500)]), HANDSHAKE
            )
            for method, path, _ in routes.ROUTES
        ]
        jobs += [
            self.cut_off("nothing", b"", HANDSHAKE),
            self.cut_off("an empty line", b"\r\n" * 500, HANDSHAKE),
        ]
        took, _ = await asyncio.gather(asyncio.gather(*jobs), self.works())
        self.report(f"{len(jobs)} slow heads cut off after {min(took):.1f} to {max(took):.1f} s")

    async def test_a_second_request_byte_by_byte(self):
        first, second = (
            request("GET", "/healthz"),
            request("GET", "/healthz", [("X-Pad", "x" * 500)]),
        )
        took = await self.cut_off("kept alive", second, HANDSHAKE, first)
        idle = await self.cut_off("kept alive and idle", b"", HANDSHAKE, first)
        self.report(f"connections that are kept: slow {took:.1f} s, idle {idle:.1f} s")

    async def test_bodies_byte_by_byte_and_an_answer_that_nobody_reads(self):
        # Together, since both take their time.
        await asyncio.gather(self.slow_bodies(), self.unread_answer(), self.works())

    async def slow_bodies(self):
        jobs = []
        for method, path, kind in routes.ROUTES:
            within = BODY if kind == routes.JSON and not path.startswith("/rtc") else HANDSHAKE
            headers = [("Content-Type", kind or routes.JSON)]
            announced = request(method, path, [*headers, ("Content-Length", "1000")])
            chunked = request(method, path, [*headers, ("Transfer-Encoding", "chunked")])
            name = f"{method} {path}"
            jobs += [
                self.cut_off(f"{name}, announced", b"{" + b" " * 900, within, announced),
                self.cut_off(f"{name}, chunked", b"1\r\n \r\n" * 200, within, chunked),
                self.cut_off(
                    f"{name}, a chunk announced", b" " * 900, within, chunked + b"ffff\r\n"
                ),
                self.cut_off(f"{name}, nothing", b"", within, announced),
                self.cut_off(
                    f"{name}, 100-continue",
                    b"",
                    within,
                    announced[:-2] + b"Expect: 100-continue\r\n\r\n",
                ),
            ]
        took = await asyncio.gather(*jobs)
        self.report(f"{len(jobs)} slow bodies cut off after {min(took):.1f} to {max(took):.1f} s")

    async def unread_answer(self):
        # 16 pages of a MiB on one connection, more than the system's buffers hold, so that the server
        # has to wait for its client. In a room of its own, because one of the slow requests closes
        # the other.
        host = await WebSocket.call(self.server, "/ws?room=hall", source="127.0.0.3")
        self.addCleanup(host.shut)
        body = json.dumps({"text": "x" * 16_000, "visibility": "none"}).encode()
        post = request("POST", "/rooms/hall/messages", [("Content-Type", routes.JSON)], body)
        for answer in await several([ask(self.server, post) for _ in range(70)]):
            self.assertEqual(answer.status, 201)
        wire = await Wire.open(self.server, receive_buffer=4096)
        self.addCleanup(wire.close)
        began = time.monotonic()
        await wire.send(request("GET", "/rooms/hall/timeline?limit=1000") * 16)
        await wire.exactly(1)
        place = wire.sock.getsockname()[1]
        while place in self.server.peers():
            self.assertLess(time.monotonic() - began, UNREAD + SLACK, "it is held for ever")
            await asyncio.sleep(0.2)
        took = time.monotonic() - began
        self.report(f"answers of 16 MiB that nobody reads: cut off after {took:.1f} s")
        self.assertGreater(took, UNREAD - SLACK, "a slow client has its time")

    async def test_upgraded_and_then_silent(self):
        # A silent call is a call until its client misses three pings, 60 s; so it has a call's place.
        held = [await self.silent("/ws") for _ in range(40)]
        with self.assertRaises(Refused) as refused:
            await WebSocket.open(self.server)
        self.assertEqual(refused.exception.answer.status, 429)
        held += [await self.silent("/rooms/lobby/events") for _ in range(40)]
        await self.works()
        for socket in held:
            socket.shut()
        await self.until_the_place_is_free()
        self.report(
            "40 silent calls and 40 dashboards: the next of this address was refused, others not"
        )

    async def silent(self, path: str) -> WebSocket:
        return await WebSocket.open(self.server, path)

    async def until_the_place_is_free(self):
        await self.server.until_sessions(1, within=5)

    async def test_a_frame_byte_by_byte(self):
        frames = {
            "head": frame(TEXT, b"x" * 70000),
            "largest": frame(BINARY, announced=512 * 1024),
            "in pieces": frame(TEXT, b"{", fin=False) + frame(0, b"x", fin=False) * 1000,
        }
        sockets = [await WebSocket.open(self.server, path) for path in UPGRADES for _ in frames]
        sending = [
            asyncio.ensure_future(socket.wire.send_slowly(data, 0.1))
            for socket, data in zip(sockets, [*frames.values()] * 2)
        ]
        before = self.server.memory_mib()
        for _ in range(10):
            await self.works()
            await asyncio.sleep(0.2)
        self.assertLess(self.server.memory_mib() - before, 4)
        for task, socket in zip(sending, sockets):
            task.cancel()
            socket.shut()
        await asyncio.gather(*sending, return_exceptions=True)
        await self.until_the_place_is_free()
        self.report(f"{len(sockets)} frames byte by byte: ten calls meanwhile")


if __name__ == "__main__":
    unittest.main()
