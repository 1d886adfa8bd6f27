"""Offers, candidates and hanging up over HTTP, and all that can be wrong with them."""

import asyncio
import re
import unittest
import uuid

from support import measure, rest
from support.case import ServerCase
from support.peer import Peer, Refused, WhipPeer
from support.relay import server_address, without_candidates
from support.server import MOUNT, candidate_message

OFFER = f"{MOUNT}/webrtc/offer"
A_CANDIDATE = "candidate:1 1 udp 2130706431 127.0.0.1 9 typ host"


class Offers(ServerCase):
    async def refused(self, status: int, code: str | None, sdp: str):
        response = await self.server.offer(sdp, uuid.uuid4().hex)
        self.assertEqual((response.status, response.error), (status, code), response.text[:300])
        if code:
            self.assertEqual(response.json["status"], "failed")
            self.assertTrue(response.json["meta"]["message"])

    async def some_offer(self) -> str:
        return await (await self.caller()).make_offer()

    async def test_what_is_no_sdp(self):
        good = await self.some_offer()
        no_ice = re.sub(r"^a=ice-(ufrag|pwd).*\r\n", "", good, flags=re.M)
        for sdp in ("", "hello", "v=0\r\n", "\0" * 1000, good[: len(good) // 3], no_ice):
            with self.subTest(sdp[:20]):
                await self.refused(400, "invalid_sdp", sdp)

    async def test_no_audio(self):
        peer = await self.caller()
        await peer.make_offer()
        head, *sections = re.split(r"^(?=m=)", peer.pc.localDescription.sdp, flags=re.M)
        data = next(section for section in sections if section.startswith("m=application"))
        head = re.sub(r"a=group:BUNDLE.*", "a=group:BUNDLE 1", head)
        await self.refused(400, "no_audio", head + data)

    async def test_no_codec_in_common(self):
        sdp = re.sub(r"^a=(rtpmap|fmtp|rtcp-fb):.*\r\n", "", await self.some_offer(), flags=re.M)
        sdp = re.sub(
            r"^(m=audio \d+ \S+).*\r\n(?s:(.*?))(?=^m=|\Z)",
            r"\1 97\r\n\2a=rtpmap:97 speex/16000\r\n",
            sdp,
            flags=re.M,
        )
        await self.refused(400, "no_common_codec", sdp)

    async def test_an_sdp_that_is_too_large(self):
        sdp = await self.some_offer() + "a=padding:x\r\n" * 80_000
        response = await self.server.offer(sdp, uuid.uuid4().hex)
        self.assertEqual(response.status, 413, response.text[:300])

    async def test_missing_fields(self):
        whole = {"sdp": await self.some_offer(), "type": "offer", "webrtc_id": uuid.uuid4().hex}
        for field in whole:
            for value in (None, "left out"):
                body = {**whole, field: value}
                if value == "left out":
                    del body[field]
                with self.subTest(field, value=value):
                    response = await self.server.request("POST", OFFER, body)
                    self.assertEqual(response.status, 422, response.text[:300])

    async def test_what_is_no_json(self):
        for body in ("", "{", "[]", "7"):
            response = await self.server.request("POST", OFFER, body, "application/json")
            self.assertIn(response.status, (400, 422), response.text[:300])

    async def test_an_id_in_use(self):
        peer = await self.call()
        response = await self.server.offer(await self.some_offer(), peer.id)
        self.assertEqual(response.status, 409)
        self.assertEqual(response.error, "connection_already_exists")
        await is_unharmed(self, peer)

    async def test_an_id_is_used_once(self):
        first = await self.call()
        self.assertEqual((await first.hang_up()).status, 204)
        await self.server.until_sessions(0, first.room)
        again = await self.caller()
        again.id = first.id
        with self.assertRaises(Refused) as refused:
            await again.connect()
        response = refused.exception.response
        self.assertEqual((response.status, response.error), (409, "connection_already_exists"))

    async def test_hanging_up(self):
        peer = await self.call()
        self.assertEqual((await peer.hang_up()).status, 204)
        await peer.message("session_ended")
        took = await peer.until_state("closed", "failed", within=5)
        await self.server.until_sessions(0, peer.room)
        self.report(f"hang-up: the connection was closed {took:.2f} s later")
        self.assertEqual((await self.server.hang_up("unknown")).status, 404)

    async def test_the_configuration_for_clients(self):
        config = await self.server.get(f"{MOUNT}/webrtc/config")
        self.assertIsInstance(config["ice_servers"], list)


async def is_unharmed(case: ServerCase, peer: Peer):
    """A call goes on, and clean."""

    def is_clean(heard):
        case.assertGreater(measure.strongest_tone(heard.speech()).snr_db, 15)

    await case.in_time(lambda: peer.talk(measure.tone(500, 0.8)), is_clean)


class Full(ServerCase):
    limits = {"max_sessions": 1}

    async def test_no_room_for_one_more(self):
        peer = await self.call()
        with self.assertRaises(Refused) as refused:
            await (await self.caller()).connect()
        response = refused.exception.response
        self.assertEqual(response.status, 503)
        self.assertEqual(response.error, "concurrency_limit_reached")
        self.assertEqual(response.json["meta"]["limit"], 1)
        await peer.close()
        await self.server.until_sessions(0)
        await self.call()


class Candidates(ServerCase):
    async def test_malformed_ones(self):
        peer = await self.call()
        for candidate in (
            "",
            "x",
            {"candidate": 7, "sdpMid": "0", "sdpMLineIndex": 0},
            "candidate:1 1 udp",
            "candidate:1 1 udp 1 127.0.0.1 99999 typ host",
            "candidate:" + "1" * 10_000,
        ):
            # An empty string ends the candidates in browsers, so it is none that is malformed.
            wanted = (200, None) if candidate == "" else (400, "invalid_candidate_format")
            response = await self.server.candidate(candidate, peer.id)
            with self.subTest(str(candidate)[:40]):
                self.assertEqual((response.status, response.error), wanted, response.text)

    async def test_of_a_call_and_of_one_that_is_over(self):
        peer = await self.call()
        response = await self.server.candidate(A_CANDIDATE, peer.id)
        self.assertEqual((response.status, response.json), (200, {"status": "success"}))
        await peer.hang_up()
        await self.server.until_sessions(0, peer.room)
        response = await self.server.candidate(A_CANDIDATE, peer.id)
        self.assertEqual((response.status, response.error), (410, "connection_closed"))

    async def test_one_that_came_before_the_offer_is_tried(self):
        peer = await self.caller()
        offer = without_candidates(await peer.make_offer())
        host, port, asked = await self.listening()
        candidate = f"candidate:1 1 udp 2130706431 {host} {port} typ host"
        self.assertEqual((await self.server.candidate(candidate, peer.id)).status, 202)
        answer = await self.server.offer(offer, peer.id, peer.room)
        self.assertEqual(answer.status, 200, answer.text)
        if "a=ice-lite" in answer.text:
            self.skipTest("an ICE-lite server tries no candidates")
        await asyncio.wait_for(asked.wait(), 5)

    async def listening(self):
        """A socket, and what is set once somebody asks there by STUN."""
        asked = asyncio.Event()

        class Probe(asyncio.DatagramProtocol):
            def datagram_received(self, data, _address):
                if data[:2] == b"\x00\x01":
                    asked.set()

        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Probe, local_addr=("127.0.0.1", 0))
        self.addCleanup(transport.close)
        return *transport.get_extra_info("sockname"), asked


class Floods(ServerCase):
    async def test_a_flood_for_one_call_is_limited(self):
        peer = await self.call()
        statuses = await asyncio.to_thread(self.flood, [peer.id] * 1000)
        self.report(f"flood for one call: {count(statuses)}")
        self.assertIn(429, statuses)
        self.assertLessEqual(set(statuses), {200, 429})
        await is_unharmed(self, peer)

    async def test_of_a_flood_for_calls_that_never_come_only_the_latest_are_kept(self):
        before = self.server.memory_mib()
        ids = [uuid.uuid4().hex for _ in range(3000)]
        statuses = await asyncio.to_thread(self.flood, ids)
        grown = self.server.memory_mib() - before
        self.report(f"flood for unknown calls: {count(statuses)}, {grown:+.1f} MiB")
        self.assertEqual(set(statuses), {202})
        self.assertLess(grown, 8)
        # Who comes with no candidates before the offer is let in meanwhile.
        await self.call()

    def flood(self, ids: list[str]) -> list[int]:
        connection = rest.Connection(self.server.url)
        statuses = []
        for number, webrtc_id in enumerate(ids):
            candidate = f"candidate:{number} 1 udp 1 127.0.0.1 {1024 + number} typ host"
            body = candidate_message(candidate, webrtc_id)
            statuses.append(connection.request("POST", OFFER, body).status)
        connection.close()
        return statuses


def count(statuses: list[int]) -> dict[int, int]:
    return {status: statuses.count(status) for status in sorted(set(statuses))}


class Whip(ServerCase):
    async def test_a_call_by_whip(self):
        peer = await self.call(WhipPeer)
        await self.are_echoed({"WHIP": peer})
        self.assertIn("application/sdp", peer.whip_response.headers["content-type"])
        response = await self.server.request(
            "PATCH", peer.location, fragment(peer), "application/trickle-ice-sdpfrag"
        )
        self.assertEqual(response.status, 204, response.text)
        self.assertIn((await peer.hang_up()).status, (200, 204))
        await peer.until_state("closed", "failed", within=5)
        await self.server.until_sessions(0, peer.room)
        self.assertEqual((await peer.hang_up()).status, 410)

    async def test_what_is_no_offer(self):
        path = f"{MOUNT}/whip"
        peer = await self.caller()
        offer = await peer.make_offer()
        for body, kind, statuses in (
            ("hello", "application/sdp", {400}),
            (offer, "text/plain", {400, 415}),
            (offer + "a=x:y\r\n" * 150_000, "application/sdp", {413}),
        ):
            response = await self.server.request("POST", path, body, kind)
            with self.subTest(kind, length=len(body)):
                self.assertIn(response.status, statuses, response.text[:300])


def fragment(peer: Peer) -> str:
    """One more candidate, as RFC 8840 writes it."""
    sdp = peer.pc.localDescription.sdp
    ufrag, password = (re.search(rf"a=ice-{it}:.*", sdp)[0].strip() for it in ("ufrag", "pwd"))
    return f"{ufrag}\r\n{password}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na={A_CANDIDATE}\r\n"


class AnswersAreWellFormed(ServerCase):
    async def test_an_answer_says_where_and_how(self):
        peer = await self.call()
        host, port = server_address(peer.answer_sdp)
        self.assertGreater(port, 0)
        for line in ("a=rtcp-mux", "a=fingerprint:sha-256", "a=setup:", "a=group:BUNDLE"):
            self.assertIn(line, peer.answer_sdp)
        self.assertNotIn("a=setup:actpass", peer.answer_sdp)


if __name__ == "__main__":
    unittest.main()
