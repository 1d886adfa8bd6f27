"""The frames of WebSocket (RFC 6455) at `/ws`, by hand.

The cases are those of the Autobahn test suite, whose numbers they have; its program asks a server to
echo, which this one does not. Here a text proves that it arrived whole by being a `ping` of the client
protocol, which is answered by a `pong` with its id. Left out are its 12 and 13 (compression, which is
not negotiated: see `test_oversized.py`) and the sizes of its 9 beyond this server's limit, where the
refusal is tested instead.
"""

import unittest

from support.case import ServerCase
from support.frames import NORMAL, NOT_UTF8, PROTOCOL, TOO_BIG, Case, ping_text, pong, told
from support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_frame,
    frame,
    several,
)

#: What the server reads at most, and what it takes for a message at most.
WIRE, MESSAGE = 512 * 1024, 64 * 1024
REFUSED = (PROTOCOL,)


def text(number, length=None, **bits) -> bytes:
    return frame(TEXT, ping_text(number, length), **bits)


def in_pieces(opcode: int, payload: bytes, size: int, between: bytes = b"") -> bytes:
    """A message in fragments, with something between them."""
    pieces = [payload[start : start + size] for start in range(0, len(payload), size)]
    frames = [
        frame(CONTINUATION if number else opcode, piece, fin=number == len(pieces) - 1)
        for number, piece in enumerate(pieces)
    ]
    return between.join(frames)


class Frames(ServerCase):
    limits = {"max_sessions_per_address": 1000}

    async def check(self, cases: list[Case]):
        problems = await several([case.run(self.server) for case in cases])
        self.report(f"{len(cases)} cases")
        self.assertEqual([problem for problem in problems if problem], [])

    async def test_1_lengths_in_all_three_forms(self):
        cases = [Case("1.1.1 empty text", frame(TEXT))]
        for number, length in enumerate((125, 126, 127, 128, 65535, 65536), 2):
            cases += [Case(f"1.1.{number} text", text(7, length), (told(7),))]
        cases += [Case("1.1.8 text of 65536, chopped", text(7, 65536), (told(7),), chop=997)]
        # A binary message is audio, and lets the texts behind it be read whatever its length is.
        for number, length in enumerate((0, 125, 126, 127, 128, 65535, 65536), 1):
            cases += [Case(f"1.2.{number} binary", frame(BINARY, bytes(length)))]
        cases += [Case("1.2.8 binary of 65536, chopped", frame(BINARY, bytes(65536)), chop=997)]
        await self.check(cases)

    async def test_1_lengths_that_are_none(self):
        # RFC 6455 wants the shortest form of clients, and asks nothing of servers who see another.
        await self.check(
            [
                Case("16 bits for 40", text(7, 40, form=16), (told(7),)),
                Case("64 bits for 40", text(7, 40, form=64), (told(7),)),
                Case("64 bits for 300", text(7, 300, form=64), (told(7),)),
                Case("2^62", frame(TEXT, announced=1 << 62), close=(TOO_BIG,)),
                Case(
                    "2^63, whose bit must be 0",
                    frame(TEXT, announced=1 << 63),
                    close=(PROTOCOL, TOO_BIG),
                ),
                Case("2^64 - 1", frame(BINARY, announced=(1 << 64) - 1), close=(PROTOCOL, TOO_BIG)),
            ]
        )

    async def test_1_clients_mask(self):
        unmasked = {
            "text": text(7, masked=False),
            "empty text": frame(TEXT, masked=False),
            "audio": frame(BINARY, bytes(960), masked=False),
            "ping": frame(PING, b"x", masked=False),
            "close": frame(CLOSE, b"\x03\xe8", masked=False),
            "continuation": frame(TEXT, b"{", fin=False) + frame(CONTINUATION, b"}", masked=False),
        }
        cases = [Case(f"unmasked {name}", sent, close=REFUSED) for name, sent in unmasked.items()]
        cases += [Case("a good one before", text(7) + unmasked["text"], (told(7),), REFUSED)]
        await self.check(cases)

    async def test_2_pings_and_pongs(self):
        longest, ten = bytes(range(125)), [b"payload-%d" % number for number in range(10)]
        await self.check(
            [
                Case("2.1 no payload", frame(PING), (pong(b""),)),
                Case("2.2 text", frame(PING, "Hello, world!"), (pong(b"Hello, world!"),)),
                Case(
                    "2.3 no text",
                    frame(PING, b"\0\xff\xfe\xfd\xfc\xfb\0\xff"),
                    (pong(b"\0\xff\xfe\xfd\xfc\xfb\0\xff"),),
                ),
                Case("2.4 125 bytes", frame(PING, longest), (pong(longest),)),
                Case("2.5 126 bytes", frame(PING, bytes(126)), close=REFUSED),
                Case("2.6 125 bytes, chopped", frame(PING, longest), (pong(longest),), chop=1),
                Case("2.7 a pong nobody asked for", frame(PONG)),
                Case("2.8 the same with a payload", frame(PONG, "unsolicited pong payload")),
                Case(
                    "2.9 and a ping", frame(PONG, "unsolicited") + frame(PING, "x"), (pong(b"x"),)
                ),
                Case("2.10 ten", b"".join(frame(PING, it) for it in ten), tuple(map(pong, ten))),
                Case(
                    "2.11 ten, chopped",
                    b"".join(frame(PING, it) for it in ten),
                    tuple(map(pong, ten)),
                    chop=1,
                ),
            ]
        )

    async def test_3_reserved_bits(self):
        cases = []
        for bits in range(1, 8):
            rsv = bits << 4
            cases += [
                Case(f"3 {bits}: {name}", sent, close=REFUSED)
                for name, sent in {
                    "text": text(7, rsv=rsv),
                    "binary": frame(BINARY, bytes(8), rsv=rsv),
                    "ping": frame(PING, "x", rsv=rsv),
                    "close": frame(CLOSE, rsv=rsv),
                    "continuation": frame(TEXT, b"{", fin=False)
                    + frame(CONTINUATION, b"}", rsv=rsv),
                }.items()
            ]
            bad = text(1) + text(2, rsv=rsv) + frame(PING)
            cases += [Case(f"3 {bits}: after a good one", bad, (told(1),), REFUSED)]
            cases += [Case(f"3 {bits}: chopped", bad, (told(1),), REFUSED, chop=1)]
        await self.check(cases)

    async def test_4_reserved_opcodes(self):
        cases = []
        for opcode in (*range(3, 8), *range(11, 16)):
            name = f"4 opcode {opcode}"
            bad = text(1) + frame(opcode, b"x") + frame(PING)
            cases += [
                Case(f"{name}, empty", frame(opcode), close=REFUSED),
                Case(f"{name}, payload", frame(opcode, b"reserved"), close=REFUSED),
                Case(f"{name}, after a good one", bad, (told(1),), REFUSED),
                Case(f"{name}, chopped", bad, (told(1),), REFUSED, chop=1),
            ]
        await self.check(cases)

    async def test_5_fragments(self):
        whole, ping = ping_text(7), frame(PING, "x")
        halves = in_pieces(TEXT, whole, 12)
        many = in_pieces(TEXT, whole, 1)
        cases = [
            Case(
                "5.1 a ping in two",
                frame(PING, "a", fin=False) + frame(CONTINUATION, "b"),
                close=REFUSED,
            ),
            Case(
                "5.2 a pong in two",
                frame(PONG, "a", fin=False) + frame(CONTINUATION, "b"),
                close=REFUSED,
            ),
            Case(
                "a close in two",
                frame(CLOSE, b"\x03", fin=False) + frame(CONTINUATION, b"\xe8"),
                close=REFUSED,
            ),
            Case("5.3 a text in pieces", halves, (told(7),)),
            Case("5.5 chopped", halves, (told(7),), chop=1),
            Case("each byte a piece", many, (told(7),)),
            Case("5.6 a ping between", in_pieces(TEXT, whole, 20, ping), (pong(b"x"), told(7))),
            Case("5.8 chopped", in_pieces(TEXT, whole, 20, ping), (pong(b"x"), told(7)), chop=1),
            Case("5.18 another text between", frame(TEXT, "{", fin=False) + text(7), close=REFUSED),
            Case("another in pieces", 2 * frame(TEXT, "{", fin=False), close=REFUSED),
            Case(
                "audio between",
                frame(TEXT, "{", fin=False) + frame(BINARY, bytes(8)),
                close=REFUSED,
            ),
            Case("audio in pieces", in_pieces(BINARY, bytes(960), 100)),
            Case(
                "5.15 nothing to go on with",
                halves + frame(CONTINUATION, "x", fin=False) + text(8),
                (told(7),),
                REFUSED,
            ),
        ]
        pieces = len(range(0, len(whole), 5))
        between = (pong(b"x"),) * (pieces - 1)
        cases += [
            Case("5.19 pings between all", in_pieces(TEXT, whole, 5, ping), (*between, told(7)))
        ]
        cases += [
            Case("5.20 chopped", in_pieces(TEXT, whole, 5, ping), (*between, told(7)), chop=1)
        ]
        for number, fin in ((9, True), (12, False)):
            start = frame(CONTINUATION, "x", fin=fin) + text(7)
            cases += [Case(f"5.{number} a continuation of nothing", start, close=REFUSED)]
            cases += [Case(f"5.{number + 2} chopped", start, close=REFUSED, chop=1)]
        await self.check(cases)

    async def test_6_utf_8(self):
        cases = [
            Case("6.1.2 empty pieces", in_pieces_of(TEXT, [b"", b"", b""])),
            Case(
                "6.1.3 empty ones at both ends",
                in_pieces_of(TEXT, [b"", ping_text(7), b""]),
                (told(7),),
            ),
        ]
        for words in VALID:
            whole = ping_text(words)
            cases += [Case(f"6 {words!r}", frame(TEXT, whole), (told(words),))]
            cases += [Case(f"6 {words!r} by bytes", in_pieces(TEXT, whole, 1), (told(words),))]
        for wrong in INVALID:
            whole = b'{"type":"ping","id":"' + wrong + b'"}'
            cases += [
                Case(f"6 {wrong!r}", frame(TEXT, whole), close=(NOT_UTF8,)),
                Case(f"6 {wrong!r} alone", frame(TEXT, wrong), close=(NOT_UTF8,)),
                Case(f"6 {wrong!r} by bytes", in_pieces(TEXT, whole, 1), close=(NOT_UTF8,)),
                Case(f"6 {wrong!r} chopped", frame(TEXT, whole), close=(NOT_UTF8,), chop=1),
            ]
        await self.check(cases)

    async def test_7_closing(self):
        two, cut = in_pieces(TEXT, ping_text(7), 20), len(frame(TEXT, ping_text(7)[:20]))
        bye = close_frame(1000)
        cases = [
            Case("7.1.1 a message, a close", text(7) + bye, (told(7),), (NORMAL,)),
            Case("7.1.2 two closes", bye + bye, close=(NORMAL,)),
            Case("7.1.3 a ping after it", bye + frame(PING), close=(NORMAL,)),
            Case("7.1.4 a text after it", bye + text(7), close=(NORMAL,)),
            Case("7.1.5 half a message before it", two[:cut] + bye + two[cut:], close=(NORMAL,)),
            Case(
                "7.1.6 256 KiB before it",
                frame(BINARY, bytes(1 << 18)) + bye + frame(PING),
                close=(NORMAL,),
            ),
            Case("7.3.1 no code", close_frame(), close=(NORMAL,)),
            Case("7.3.2 half a code", frame(CLOSE, b"\x03"), close=REFUSED),
            Case("7.3.4 a reason", close_frame(1000, "Hello World!"), close=(NORMAL,)),
            Case("7.3.5 one of 123 bytes", close_frame(1000, "*" * 123), close=(NORMAL,)),
            Case("7.3.6 one of 124 bytes", close_frame(1000, "*" * 124), close=REFUSED),
            Case(
                "7.5.1 one that is no UTF-8",
                close_frame(1000, b"Hello-\xce\xba\xed\xa0\x80"),
                close=(NOT_UTF8, PROTOCOL),
            ),
        ]
        good = (1000, 1001, 1002, 1003, *range(1007, 1012), 3000, 3999, 4000, 4999)
        cases += [Case(f"7.7 {code}", close_frame(code), close=(code, NORMAL)) for code in good]
        bad = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
        cases += [Case(f"7.9 {code}", close_frame(code), close=REFUSED) for code in bad]
        await self.check(cases)

    async def test_9_sizes(self):
        cases = []
        for piece in (64, 256, 1024, 4096, 16384):
            sent = in_pieces(TEXT, ping_text(7, MESSAGE), piece)
            cases += [Case(f"9.3 {MESSAGE} in pieces of {piece}", sent, (told(7),))]
        for chop in (128, 1024):
            cases += [
                Case(f"9.5 {MESSAGE} chopped to {chop}", text(7, MESSAGE), (told(7),), chop=chop)
            ]
        for size in (0, 16, 64, 256, 1024, 4096):
            sent = frame(BINARY, bytes(size)) * 500 + frame(TEXT, b"x" * size) * 500
            cases += [Case(f"9.7 1000 messages of {size}", sent)]
        # What is larger than a message may be is left out, and what nobody would read is not read.
        cases += [
            Case("a text of 64 KiB + 1", text(7, MESSAGE + 1)),
            Case("a text of 512 KiB", text(7, WIRE)),
        ]
        cases += [Case("audio of 512 KiB", frame(BINARY, bytes(WIRE)))]
        for size in (WIRE + 1, 1 << 20, 4 << 20):
            cases += [
                Case(f"9.1 a text of {size}", frame(TEXT, b"*" * size), close=(TOO_BIG,)),
                Case(f"9.2 audio of {size}", frame(BINARY, bytes(size)), close=(TOO_BIG,)),
                Case(
                    f"9.4 {size} in pieces", in_pieces(BINARY, bytes(size), 16384), close=(TOO_BIG,)
                ),
            ]
        await self.check(cases)

    async def test_10_many_pieces(self):
        sent = in_pieces(TEXT, ping_text(7, MESSAGE), 1300)
        await self.check(
            [Case("10.1.1", sent, (told(7),)), Case("chopped", sent, (told(7),), chop=1301)]
        )


def in_pieces_of(opcode: int, pieces: list[bytes]) -> bytes:
    last = len(pieces) - 1
    frames = (
        frame(CONTINUATION if number else opcode, piece, fin=number == last)
        for number, piece in enumerate(pieces)
    )
    return b"".join(frames)


#: The first and last of each length, what is beside the surrogates, and what is no character but valid.
VALID = (
    "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!", "\u03ba\u1f79\u03c3\u03bc\u03b5", "\x7f", "\u0080", "\u07ff", "\u0800", "\ud7ff",
    "\ue000", "\ufffd", "\ufffe", "\uffff", "\U00010000", "\U0001fffe", "\U0010ffff",
)  # fmt: skip
#: Lonely continuations, unfinished sequences, overlong forms, surrogates, what is beyond Unicode.
INVALID = (
    b"\x80", b"\xbf", b"\x80\xbf\x80", b"\xc2", b"\xe1\xbd", b"\xf0\x90\x80", b"\xfe", b"\xff", b"\xfe\xfe\xff\xff",
    b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf",
    b"\xc0\x80", b"\xed\xa0\x80", b"\xed\xaf\xbf\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80", b"\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80edited",
)  # fmt: skip


if __name__ == "__main__":
    unittest.main()
