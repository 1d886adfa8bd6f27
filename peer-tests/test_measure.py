"""The measurements themselves, and the relay: what they say of sounds that are known. No server."""

import random
import unittest

import numpy as np

from support import measure, opus
from support.ear import Hearing, Packet
from support.microphone import as_frame
from support.relay import OUTAGE, RTP, Losses, Way, Weather, kind_of
from support.relay import server_address, with_one_candidate, without_candidates

SDP = (
    "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96\r\n"
    "a=candidate:1 1 udp 5 fd00::1 7 typ host\r\na=candidate:2 1 udp 4 10.0.0.1 8 typ host\r\n"
    "a=end-of-candidates\r\na=sendrecv\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
)


def packets(pcm: np.ndarray) -> list[Packet]:
    """As a browser would send them, with numbers and times that overflow on the way."""
    encoder, sent = opus.BrowserEncoder(), []
    for number in range(len(pcm) // measure.FRAME):
        frame = as_frame(pcm[number * measure.FRAME : (number + 1) * measure.FRAME], number)
        sent += encoder.encode(frame)[0]
    return [
        Packet(n / 50, 96, (65_500 + n) % 65_536, (2**32 - 9600 + n * 960) % 2**32, payload)
        for n, payload in enumerate(sent)
    ]


class Measurements(unittest.TestCase):
    def test_a_copy_is_like_its_original_wherever_it_is_found(self):
        said = measure.question()
        for late in (-4800, 0, 480, 48_000):
            heard = np.pad(said, (late, 9600)) if late >= 0 else said[-late:]
            likeness = measure.likeness(said, heard * 0.5)
            # What is quietest is below what counts once it is halved.
            self.assertGreater(likeness.correlation, 0.9)
            self.assertAlmostEqual(likeness.gain_db, -6.02, delta=0.3)

    def test_holes_are_found(self):
        said = measure.question()
        heard = said.copy()
        for start in range(0, len(heard), 5 * measure.FRAME):
            heard[start : start + measure.FRAME] = 0
        self.assertAlmostEqual(measure.likeness(said, heard).silent, 0.2, delta=0.05)

    def test_the_pitch_and_purity_of_a_tone(self):
        noise = np.random.default_rng(1).normal(0, 10 ** (-32 / 20), 2 * measure.RATE)
        tone = measure.strongest_tone(measure.tone(1003, 2) + noise)
        self.assertAlmostEqual(tone.hertz, 1003, delta=1)
        # Of the noise 20 dB below, the part up to 8 kHz counts, which is a third.
        self.assertAlmostEqual(tone.snr_db, 24.8, delta=1)

    def test_packets_are_laid_out_whatever_their_order_and_numbers(self):
        said = measure.question()
        whole = packets(np.pad(said, 4800))
        shuffled = [whole[n ^ 1] for n in range(len(whole) & ~1)] + whole[5:9]
        likeness = measure.likeness(said, Hearing(shuffled).pcm)
        self.assertGreater(likeness.correlation, 0.97)
        few = [packet for n, packet in enumerate(whole) if n % 7 != 3]
        self.assertAlmostEqual(Hearing(few).loss, 1 / 7, delta=0.02)
        holes, played = (measure.likeness(said, Hearing(few, it).pcm) for it in (False, True))
        self.assertGreater(played.correlation, max(0.95, holes.correlation))

    def test_losses_are_even_and_never_long(self):
        for percent in (5, 15):
            losses = Losses(percent / 100, random.Random(percent))
            lost = [losses.takes_next() for _ in range(10_000)]
            blocks = [lost[start : start + 20] for start in range(0, 10_000, 20)]
            self.assertEqual({sum(block) for block in blocks}, {percent // 5})
            self.assertGreater(len({tuple(block) for block in blocks}), 15, "in many places")
            rows = "".join("x" if one else " " for one in lost).split()
            self.assertLessEqual(max(map(len, rows)), Losses.IN_A_ROW)

    def test_a_seed_loses_the_same_packets_whatever_else_goes_by(self):
        rtp, rtcp, stun = b"\x80\x60" + bytes(50), b"\x81\xc9" + bytes(30), b"\0\1" + bytes(18)
        self.assertEqual([*map(kind_of, (rtp, rtcp, stun, b""))], ["RTP", "RTCP", "other", "other"])

        def lost(way: Way, others: list[bytes]) -> list[int]:
            numbers = []
            for number in range(200):
                arrived = []
                for packet in others:
                    way.carry(packet, lambda _: None)
                way.carry(rtp, arrived.append)
                numbers += [] if arrived else [number]
            return numbers

        for media_only in (True, False):
            weather = Weather(loss=0.15, media_only=media_only)
            alone = lost(Way("up", weather, 1), [])
            self.assertEqual(len(alone), 30)
            self.assertEqual(lost(Way("up", weather, 1), [rtcp, stun, stun]), alone)
            self.assertNotEqual(lost(Way("down", weather, 1), []), alone)
            self.assertNotEqual(lost(Way("up", weather, 2), []), alone)
        self.assertEqual(lost(Way("up", OUTAGE, 1), [rtcp]), [*range(200)])
        way = Way("up", Weather(loss=0.15), 1)
        lost(way, [rtcp, stun])
        self.assertEqual((way.dropped, way.passed), ({RTP: 30}, {RTP: 170}))

    def test_an_sdp_gets_another_address(self):
        self.assertEqual(server_address(SDP), ("10.0.0.1", 8))
        self.assertEqual(server_address(with_one_candidate(SDP, "127.0.0.1", 5)), ("127.0.0.1", 5))
        self.assertNotIn("candidate", without_candidates(SDP))


if __name__ == "__main__":
    unittest.main()
