"""The data channel: the messages of docs/client-protocol.md, without the audio."""

import asyncio
import re
import unittest

from support import measure
from support.case import ServerCase
from support.peer import Peer


class Messages(ServerCase):
    async def test_a_call_is_told_over_the_clients_channel(self):
        peer = await self.call(channel="any label")
        await peer.talk(measure.question())
        await peer.message("transcription", role="assistant", is_final=True)
        kinds = [message["type"] for _, message in peer.messages]
        self.assertEqual(kinds[0], "session_started")
        self.assertEqual(peer.messages[0][1]["room_id"], peer.room)
        self.assertNotIn("audio", kinds, "audio goes by RTP")
        self.has_transcripts(peer)
        for speaking in (True, False):
            await peer.message("speaking", who="user", speaking=speaking)

    async def test_a_second_channel_ends_the_call(self):
        """What comes on a channel that nobody reads would have to be kept."""
        peer = await self.call()
        peer.pc.createDataChannel("more")
        took = await peer.until_state("closed", "failed", within=5)
        self.report(f"a second channel: the connection was closed after {took:.2f} s")

    def has_transcripts(self, peer):
        finals = peer.heard_of("transcription", is_final=True)
        self.assertEqual([final["role"] for final in finals], ["user", "assistant"])
        self.report(f"transcripts: {[final['text'] for final in finals]}")
        for final in finals:
            seconds = float(re.search(r"([\d.]+) s\)", final["text"])[1])
            self.assertAlmostEqual(seconds, len(measure.question()) / measure.RATE, delta=0.2)

    async def test_what_a_client_may_say(self):
        peer = await self.call()
        peer.send({"type": "ping", "id": 7})
        await peer.message("pong", id=7)
        peer.send({"type": "text", "text": "hello"})
        await peer.message("transcription", role="assistant", is_final=True, text="You said: hello")
        await peer.ear.first_sound(0)
        peer.send({"type": "end"})
        ended = await peer.message("session_ended")
        self.assertEqual(ended["reason"], "client_ended")
        self.assertIs(peer.messages[-1][1], ended)
        took = await peer.until_state("closed", "failed", within=5)
        self.report(f"end: the connection was closed {took:.2f} s after session_ended")

    async def test_broken_messages_are_dropped(self):
        peer = await self.call()
        for broken in ("", "{", "[]", "null", '{"type":7}', '{"type":"unknown"}', "[" * 5000, "\u0000"):
            peer.send(broken)
        peer.channel.send(b"\xff\xfe\x00binary")
        peer.send({"type": "ping", "id": 1})
        await peer.message("pong", id=1)

    async def test_giant_messages_are_dropped_and_the_call_goes_on(self):
        peer = await self.call()
        # aiortc keeps to what the answer allows (`a=max-message-size`), as an attacker would not.
        peer.pc.sctp._remote_max_message_size = 0
        for size in (70_000, 1_000_000):
            peer.send({"type": "text", "text": "x" * size})
            # SCTP takes its time for so much, and the answer waits behind it.
            peer.send({"type": "ping", "id": size})
            await peer.message("pong", within=20, id=size)
        self.assertEqual(peer.heard_of("transcription"), [], "nothing of it was taken for words")
        heard = await peer.talk(measure.tone(500, 0.8))
        self.assertAlmostEqual(measure.strongest_tone(heard.speech()).hertz, 500, delta=5)


class Channels(ServerCase):
    async def test_without_a_channel_there_is_talk_and_with_none_made_the_servers(self):
        none, servers = await asyncio.gather(
            self.call(channel=None), self.call(channel=Peer.NOT_MADE)
        )
        await self.are_echoed({"no data channel": none, "the server's channel": servers})
        self.assertNotIn("m=application", none.pc.localDescription.sdp)
        self.assertEqual(servers.servers_label, "roomkit")
        self.assertEqual(servers.messages[0][1]["type"], "session_started")
        await servers.message("transcription", role="assistant", is_final=True)


if __name__ == "__main__":
    unittest.main()
