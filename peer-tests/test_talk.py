"""Talking: what comes back is what was said, whatever the codec and the channel."""

import asyncio
import time
import unittest

import numpy as np

from support import measure, opus
from support.case import ServerCase

#: What an echo may differ from what was said, in dB.
LEVEL = 1.0


class Talk(ServerCase):
    async def test_an_echo_is_as_long_and_as_loud_as_what_was_said(self):
        peer, said = await self.call(), measure.question()
        await self.in_time(lambda: peer.talk(said), lambda heard: self.is_an_echo(heard, said))
        self.is_opus_of_20_ms(peer.ear.hearing())
        with self.subTest("aiortc's own decoder hears the same"):
            decoded = np.concatenate([pcm for _, pcm in peer.ear.decoded])
            likeness = measure.likeness(said, decoded)
            self.report(f"by aiortc's decoder: {likeness}")
            self.assertLess(abs(likeness.gain_db), LEVEL)
            self.assertGreater(likeness.correlation, 0.97)
        with self.subTest("a second answer in the same call"):
            await self.in_time(lambda: peer.talk(measure.tone(440, 0.8)), self.has_0_8_s)

    def is_an_echo(self, heard, said):
        likeness = measure.likeness(said, heard.pcm)
        length, wanted = (len(pcm) / measure.RATE for pcm in (heard.speech(), said))
        self.report(
            f"echo: {length:.2f} s of {wanted:.2f} s, {likeness},"
            f" longest gap {heard.longest_gap_ms():.0f} ms, loss {heard.loss:.1%}"
        )
        self.assertAlmostEqual(length, wanted, delta=0.1)
        self.assertLess(abs(likeness.gain_db), LEVEL)
        self.assertGreater(likeness.correlation, 0.97)
        self.assertEqual(heard.lost, 0)
        self.assertLess(heard.longest_gap_ms(), 100)

    def has_0_8_s(self, heard):
        self.assertAlmostEqual(len(heard.speech()) / measure.RATE, 0.8, delta=0.1)

    def is_opus_of_20_ms(self, heard):
        lengths = {opus.samples_in(packet.payload) for packet in heard.packets}
        size = np.mean([len(packet.payload) for packet in heard.packets])
        self.report(f"packets: {size:.0f} bytes on average")
        self.assertEqual(heard.copies, 0, "copies take bits from the voice, and nothing was lost")
        self.assertEqual(lengths, {960})

    async def test_a_tone_comes_back_at_its_pitch_and_clean(self):
        peers = await asyncio.gather(self.call(), self.call(codec="PCMU"), self.call(codec="PCMA"))
        await self.in_time(lambda: all_say(peers, measure.tone(1000, 2)), self.are_clean)

    def are_clean(self, heard):
        for name, hearing in zip(("Opus", "PCMU", "PCMA"), heard):
            speech = hearing.speech()
            # Without the fades, and without what a codec does at an onset.
            tone = measure.strongest_tone(speech[measure.RATE // 4 : -measure.RATE // 4])
            level = measure.level_db(speech[measure.RATE // 4 : -measure.RATE // 4])
            self.report(f"1 kHz by {name}: {tone.hertz:.1f} Hz, SNR {tone.snr_db:.1f} dB, {level:.2f} dBFS")
            self.assertAlmostEqual(tone.hertz, 1000, delta=10, msg=name)
            self.assertGreater(tone.snr_db, 25, name)
            self.assertAlmostEqual(level, -12, delta=LEVEL, msg=name)


async def all_say(peers, pcm: np.ndarray):
    return await asyncio.gather(*(peer.talk(pcm) for peer in peers))


class Codecs(ServerCase):
    async def test_offers_with_one_codec_of_the_telephone(self):
        peers = {name: await self.call(codec=name) for name in ("PCMU", "PCMA")}
        said = measure.question()
        for name, peer in peers.items():
            self.assertIn(f"{name}/8000", peer.answer_sdp)
            self.assertNotIn("opus", peer.answer_sdp.lower())

        def are_echos(heard):
            for name, hearing in zip(peers, heard):
                likeness = measure.likeness(said, hearing.pcm)
                self.report(f"{name}: {likeness}, longest gap {hearing.longest_gap_ms():.0f} ms")
                self.assertEqual({len(packet.payload) for packet in hearing.packets}, {160})
                # Speech has a little above 4 kHz, which a telephone leaves out.
                self.assertLess(abs(likeness.gain_db), LEVEL + 0.5, name)
                self.assertGreater(likeness.correlation, 0.95, name)

        await self.in_time(lambda: all_say(peers.values(), said), are_echos)


class Interruption(ServerCase):
    async def test_speaking_stops_the_echo(self):
        await self.in_time(self.interrupted, self.is_soon_silent)

    async def interrupted(self):
        """How much of an echo came after the caller had spoken, and what came of that."""
        peer = await self.call()
        began = time.monotonic()
        await peer.microphone.say(measure.question())
        await peer.ear.first_sound(began)
        await asyncio.sleep(1)
        await peer.microphone.say(measure.tone(600, 1.2))
        onset = peer.microphone.spoke_at
        stale = peer.ear.hearing(began).loud_ms(since=onset, until=onset + 1.2)
        await peer.message("clear_audio")
        return stale, await peer.ear.answer(onset + 1.2)

    def is_soon_silent(self, measured):
        stale, second = measured
        self.report(f"barge-in: {stale} ms of the echo came after the caller's first word")
        self.assertLess(stale, 500)
        self.assertAlmostEqual(measure.strongest_tone(second.speech()).hertz, 600, delta=6)


class ManyAtOnce(ServerCase):
    async def test_ten_calls_hear_themselves_and_nobody_else(self):
        peers = await asyncio.gather(*(self.call() for _ in range(10)))
        pitches = [400 + 150 * number for number in range(10)]
        tones = [measure.tone(hertz, 1.5) for hertz in pitches]
        await self.in_time(
            lambda: asyncio.gather(*(peer.talk(tone) for peer, tone in zip(peers, tones))),
            lambda heard: self.are_at(pitches, heard),
        )

    def are_at(self, pitches, heard):
        gaps = [hearing.longest_gap_ms() for hearing in heard]
        self.report(f"10 calls at once: longest gap {max(gaps):.0f} ms")
        for hearing, hertz in zip(heard, pitches):
            tone = measure.strongest_tone(hearing.speech())
            self.assertAlmostEqual(tone.hertz, hertz, delta=hertz / 100)
            self.assertGreater(tone.snr_db, 15)


if __name__ == "__main__":
    unittest.main()
