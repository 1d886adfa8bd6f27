"""More than anybody needs: of bodies, frames, nesting, speed, and of what unpacks to more."""

import asyncio
import gzip
import json
import time
import unittest
import uuid

from support import routes
from support.case import ServerCase
from support.server import MOUNT
from support.websocket import BINARY, CONTINUATION, RSV1, TEXT, WebSocket, frame, message, several
from support.wire import Closed, ask, flood, request

#: Largest body of the API, and of signalling (`max_sdp_bytes` as JSON, and what stands around it).
API, SIGNALLING = 64 * 1024, 2 * 64 * 1024 + 4096
KIB, MIB = 1024, 1024 * 1024
POSTS = [route for route in routes.ROUTES if route[2]]


class Oversized(ServerCase):
    limits = {"handshake_ms": 2000, "max_sessions_per_address": 1000}
    top = {"log": "debug"}

    async def asyncSetUp(self):
        self.host = await WebSocket.call(self.server, "/ws?room=lobby", source="127.0.0.2")
        self.before = self.server.memory_mib()

    async def asyncTearDown(self):
        await self.host.pong(4711)
        await self.host.hang_up()
        await super().asyncTearDown()

    def grown(self) -> float:
        return self.server.memory_mib() - self.before

    # ----- bodies

    async def test_bodies(self):
        results = {}
        for method, path, kind in POSTS:
            headers = [("Content-Type", kind)]
            limit = SIGNALLING if path.startswith(MOUNT) else API
            whole = request(method, path, headers, b" " * (limit + 1))
            huge = request(method, path, [*headers, ("Content-Length", str(1 << 62))])
            chunked = request(method, path, [*headers, ("Transfer-Encoding", "chunked")])
            chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
            with self.subTest(f"{method} {path}"):
                one_too_many = await ask(self.server, whole)
                endless, sent = await flood(self.server, chunked, chunk, 32 * MIB)
                announced, _ = await flood(self.server, huge, b" " * 0x8000, 32 * MIB)
                results[path] = (one_too_many.status, endless, announced, f"{sent // KIB} KiB")
                # What is about nobody is not read at all.
                refused = {404} if "nobody" in path else {413}
                self.assertIn(one_too_many.status, refused, one_too_many.body[:200])
                self.assertIn(endless, {None, *refused})
                self.assertIn(announced, {None, *refused})
                self.assertLess(sent, 16 * MIB)
        self.report(f"one byte too many, without end, 2^62: {results}; {self.grown():+.1f} MiB")
        self.assertLess(self.grown(), 8)

    async def test_nesting(self):
        for method, path, kind in POSTS:
            if kind != routes.JSON:
                continue
            for name, body in {
                "lists": b"[" * 60_000,
                "objects": b'{"a":' * 10_000,
                "in a known field": b'{"text":' + b"[" * 50_000 + b"]" * 5000 + b"}",
            }.items():
                with self.subTest(f"{method} {path}, {name}"):
                    answer = await ask(
                        self.server, request(method, path, [("Content-Type", kind)], body)
                    )
                    self.assertIn(answer.status, (400, 422))
        socket = await WebSocket.call(self.server)
        for deep in (
            "[" * 60_000,
            '{"type":' * 8000,
            '{"type":"ping","id":' + "[" * 33 + "]" * 33 + "}",
        ):
            await socket.send(frame(TEXT, deep))
        await socket.send(message("ping", id="last"))
        self.assertEqual((await socket.until("pong"))["id"], "last", "the deep ping was dropped")
        await socket.hang_up()

    # ----- frames

    async def test_a_message_in_pieces_without_end(self):
        for opcode in (TEXT, BINARY):
            socket = await WebSocket.call(self.server)
            piece = b"x" * 8 * KIB
            sent, closed = 0, asyncio.ensure_future(socket.closed())
            try:
                await socket.send(frame(opcode, piece, fin=False))
                while sent < 64 * MIB and not closed.done():
                    await socket.send(frame(CONTINUATION, piece, fin=False))
                    sent += len(piece)
                    await asyncio.sleep(0)
            except Closed:
                pass
            self.assertEqual(await closed, 1009)
            self.assertLess(sent, 8 * MIB)
            socket.shut()
            self.report(
                f"pieces of opcode {opcode} without end: closed with 1009 after {sent // KIB} KiB"
            )

    async def test_2_to_the_62_of_100_clients(self):
        sockets = await several([WebSocket.call(self.server) for _ in range(100)])
        before = self.server.memory_mib()
        for socket in sockets:
            await socket.send(frame(BINARY, b"x" * 1000, announced=1 << 62))
        self.assertEqual({await socket.closed() for socket in sockets}, {1009})
        self.report(
            f"2^62 bytes announced by 100 clients: {self.server.memory_mib() - before:+.1f} MiB"
        )
        self.assertLess(self.server.memory_mib() - before, 16)
        for socket in sockets:
            socket.shut()

    async def test_512_kib_begun_by_100_clients(self):
        """What may be announced is taken as it comes, not before."""
        sockets = await several([WebSocket.call(self.server) for _ in range(100)])
        before = self.server.memory_mib()
        for socket in sockets:
            await socket.send(frame(BINARY, b"x", announced=512 * KIB))
        await asyncio.sleep(0.5)
        held = self.server.memory_mib() - before
        for socket in sockets:
            socket.shut()
        self.report(f"512 KiB announced by 100 clients, one byte sent: {held:+.1f} MiB")
        # What it is at the very most: 100 times the limit.
        self.assertLess(held, 60)

    async def test_a_dashboard_has_little_to_say(self):
        for data in (
            frame(TEXT, b"x" * 4097),
            frame(BINARY, announced=1 << 62),
            frame(TEXT, rsv=RSV1),
        ):
            socket = await WebSocket.open(self.server, "/rooms/lobby/events")
            await socket.send(data)
            await socket.closed(5)
            socket.shut()

    # ----- speed

    async def test_audio_at_ten_times_real_time(self):
        socket = await WebSocket.call(self.server)
        second = [frame(BINARY, b"\x10\x20" * 480) for _ in range(50)]
        began = time.monotonic()
        for _ in range(30):
            await socket.send(*second)
            await asyncio.sleep(0.1)
        await socket.pong(1)
        took = time.monotonic() - began
        dropped = await self.dropped("too_fast")
        await socket.hang_up()
        self.report(f"1500 frames at ten times real time: {dropped} dropped")
        # Twice as much is taken as has passed, and the 2 s over which that is reckoned.
        self.assertGreater(dropped, 1500 - 50 * (2 * took + 4 + 1))

    async def dropped(self, reason: str) -> int:
        return (await self.server.counts("roomkit_dropped_total", "reason"))[reason]

    # ----- signalling

    async def test_offers_with_too_much_in_them(self):
        offer = await (await self.caller()).make_offer()
        section = offer[offer.index("m=audio") :].split("m=application")[0]
        line = "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\n"
        for name, sdp in {
            "1000 candidates": offer + line * 1000,
            "sections": offer + section * ((64 * KIB - len(offer)) // len(section)),
            "formats": offer.replace("m=audio 9", "m=audio 9", 1).replace(
                "SAVPF", "SAVPF " + " ".join(str(number % 128) for number in range(10_000)), 1
            ),
            "attributes": offer + "a=x\r\n" * 10_000,
            "a line of 50 KiB": offer + "a=x:" + "y" * 50 * KIB + "\r\n",
            "group": offer.replace("a=group:BUNDLE", "a=group:BUNDLE" + " 7" * 20_000, 1),
        }.items():
            with self.subTest(name):
                self.assertLessEqual(len(sdp), 64 * KIB)
                began = time.monotonic()
                answer = await self.server.offer(sdp, uuid.uuid4().hex)
                took = time.monotonic() - began
                self.report(f"{name}: {answer.status} {answer.error or ''} in {1000 * took:.0f} ms")
                self.assertIn(answer.status, (200, 400), answer.text[:300])
                self.assertLess(took, 2)
        self.assertLess(self.grown(), 32)

    async def test_long_candidates_of_calls_that_never_come(self):
        line = "candidate:1 1 udp 2130706431 127.0.0.1 9 typ host "
        body = {"type": "ice-candidate", "candidate": line + "x" * 120 * KIB}
        path, kind = f"{MOUNT}/webrtc/offer", [("Content-Type", routes.JSON)]

        async def one():
            data = json.dumps({**body, "webrtc_id": uuid.uuid4().hex}).encode()
            return (await ask(self.server, request("POST", path, kind, data))).status

        statuses = await several([one() for _ in range(400)])
        self.report(
            f"400 candidates of 120 KiB: {sorted(set(statuses))}, {self.grown():+.1f} MiB of 47 kept"
        )
        self.assertLess(self.grown(), 16)


class Packed(ServerCase):
    """What is small and unpacks to much is not unpacked."""

    limits = {"handshake_ms": 2000}

    async def test_a_body_that_says_it_is_compressed(self):
        bomb = gzip.compress(b'{"text":"' + b"x" * 20 * MIB + b'"}')
        self.assertLess(len(bomb), 32 * KIB)
        small = gzip.compress(b'{"text":"hello"}')
        before, statuses = self.server.memory_mib(), {}
        host = await WebSocket.call(self.server, "/ws?room=lobby")
        self.addAsyncCleanup(host.hang_up)
        for method, path, kind in POSTS:
            for coding in ("gzip", "deflate", "br", "zstd", "gzip, gzip"):
                headers = [("Content-Type", kind), ("Content-Encoding", coding)]
                for body in (bomb, small):
                    with self.subTest(f"{method} {path}, {coding}"):
                        answer = await ask(self.server, request(method, path, headers, body))
                        statuses.setdefault(answer.status, 0)
                        statuses[answer.status] += 1
                        self.assertIn(answer.status, (400, 404, 415, 422), answer.body[:200])
        timeline = await self.server.get("/rooms/lobby/timeline")
        self.assertNotIn("hello", json.dumps(timeline))
        grown = self.server.memory_mib() - before
        self.report(f"packed bodies: {statuses}, {grown:+.1f} MiB")
        self.assertLess(grown, 8)

    async def test_a_coding_of_the_transfer(self):
        for coding in ("gzip", "gzip, chunked", "deflate, chunked"):
            headers = [("Content-Type", routes.JSON), ("Transfer-Encoding", coding)]
            packed = gzip.compress(b'{"scopes":["call"]}')
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed)
            try:
                answer = await ask(self.server, request("POST", "/tokens", headers) + body)
                self.assertIn(answer.status, (400, 404, 415, 422, 501), coding)
            except Closed:
                pass

    async def test_compression_of_websocket_is_not_agreed_to(self):
        for offer in (
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover, x-webkit-deflate-frame",
        ):
            socket = await WebSocket.call(
                self.server, headers=[("Sec-WebSocket-Extensions", offer)]
            )
            self.assertNotIn("sec-websocket-extensions", socket.headers)
            # 20 MiB of the same byte, as that extension would pack them.
            await socket.send(frame(TEXT, gzip.compress(b"x" * 20 * MIB)[10:-8], rsv=RSV1))
            self.assertEqual(await socket.closed(), 1002, offer)
            socket.shut()


if __name__ == "__main__":
    unittest.main()
