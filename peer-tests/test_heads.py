"""Heads of requests that are too long, and such as could mean two things."""

import unittest

from support import routes
from support.case import ServerCase
from support.websocket import WebSocket, several
from support.wire import Closed, Wire, ask, flood, request

KIB, MIB = 1024, 1024 * 1024
TOO_LONG = {400, 405, 414, 431}


class Heads(ServerCase):
    limits = {"handshake_ms": 2000}

    async def asyncSetUp(self):
        self.host = await WebSocket.call(self.server, "/ws?room=lobby", source="127.0.0.2")

    async def asyncTearDown(self):
        await self.host.pong(4711)
        await self.host.hang_up()
        await super().asyncTearDown()

    async def test_long_heads_are_refused(self):
        for name, data in {
            "a header of 1 MiB": request("GET", "/healthz", [("X-Long", "x" * MIB)]),
            "a name of 100 KiB": request("GET", "/healthz", [("X" * 100 * KIB, "x")]),
            "1000 headers": request("GET", "/healthz", [(f"X-{it}", "x") for it in range(1000)]),
            "a path of 100 KiB": request("GET", "/rooms/" + "x" * 100 * KIB),
            "a query of 100 KiB": request("GET", "/ws?room=" + "x" * 100 * KIB),
            "a method of 100 KiB": request("G" * 100 * KIB, "/healthz"),
        }.items():
            with self.subTest(name):
                try:
                    self.assertIn((await ask(self.server, data)).status, TOO_LONG)
                except Closed:
                    pass

    async def test_heads_without_end_are_cut_off(self):
        before, results = self.server.memory_mib(), {}
        unfinished = request("GET", "/healthz")[:-2]
        for name, (start, more) in {
            "a header": (unfinished + b"X-Long: ", b"x" * 64 * KIB),
            "headers": (unfinished, b"X-More: y\r\n" * 6000),
            "a path": (b"GET /", b"x" * 64 * KIB),
            "no HTTP": (b"", b"\x16\x03\x01\x02\x00\x01" * 10_000),
        }.items():
            status, sent = await flood(self.server, start, more, 32 * MIB)
            results[name] = f"{status} after {sent // KIB} KiB"
            with self.subTest(name):
                self.assertIn(status, {None, *TOO_LONG})
                self.assertLess(sent, 16 * MIB)
        grown = self.server.memory_mib() - before
        self.report(f"heads without end: {results}; {grown:+.1f} MiB")
        self.assertLess(grown, 8)

    async def test_what_could_mean_two_requests_is_at_most_one(self):
        """A proxy that reads them otherwise would let the hidden request pass. (A bare LF ends a line
        here, as RFC 9112, section 2.2, allows.)"""
        hidden = b"GET /rooms HTTP/1.1\r\nHost: localhost\r\n\r\n"
        length, coding = "Content-Length", "Transfer-Encoding"
        cases = {
            "two lengths": ([(length, "0"), (length, str(len(hidden)))], hidden),
            "a list of lengths": ([(length, f"0, {len(hidden)}")], hidden),
            "a signed length": ([(length, "+2")], b"{}"),
            "a negative length": ([(length, "-1")], b"{}"),
            "a length of 2^64": ([(length, str(1 << 64))], b"{}"),
            "a length and chunks": ([(length, str(len(hidden))), (coding, "chunked")], hidden),
            "an unknown coding": ([(coding, "xchunked")], b"0\r\n\r\n" + hidden),
            "chunked, not at last": ([(coding, "chunked, gzip")], b"0\r\n\r\n" + hidden),
            "a chunk of 2^64": ([(coding, "chunked")], b"1" + b"0" * 16 + b"\r\n"),
            "a signed chunk": ([(coding, "chunked")], b"+1\r\nx\r\n0\r\n\r\n" + hidden),
            "a folded header": ([("X-Folded", b"a\r\n b")], b""),
            "a space before the colon": ([(b"Content-Length ", "0")], hidden),
        }
        results = await several([self.statuses(*case) for case in cases.values()])
        for name, statuses in zip(cases, results):
            with self.subTest(name):
                self.assertLessEqual(len(statuses), 1)
                self.assertNotIn(200, statuses, "the hidden request was answered")
        self.report(f"{len(cases)} heads that could mean two things: {dict(zip(cases, results))}")

    async def statuses(self, headers, body: bytes) -> list[int]:
        """Of all answers to a message with these headers and this body, or what follows it."""
        headers = [("Content-Type", routes.JSON), *headers]
        wire = await Wire.open(self.server)
        got = []
        try:
            await wire.send(request("POST", "/rooms/lobby/messages", headers) + body)
            while True:
                got.append((await wire.answer(3)).status)
        except (Closed, TimeoutError):
            return got
        finally:
            wire.close()


if __name__ == "__main__":
    unittest.main()
