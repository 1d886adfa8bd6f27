"""Sounds to say, and figures about what was heard. All audio is mono at 48 kHz, from -1 to 1."""

import os
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RATE = 48_000
FRAME = RATE // 50
#: What counts as silence, in dBFS: below the echo's threshold, above any codec's noise.
SILENCE_DB = -48.0

SPEECH = Path(os.environ.get("ROOMKIT_SPEECH", Path(__file__).parents[2] / "testdata/speech"))


# ----- sounds


def question() -> np.ndarray:
    """A spoken sentence of 3.2 s without the silence around it."""
    return trimmed(read_wav(SPEECH / "question.wav"))


def read_wav(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return samples.astype(np.float32) / 32768


def tone(hertz: float, seconds: float, dbfs: float = -12.0) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    # A sine's level is 3 dB below its peak.
    wave_ = 10 ** ((dbfs + 3.01) / 20) * np.sin(2 * np.pi * hertz * time)
    fade = np.minimum(1, np.minimum(time, time[::-1]) / 0.01)
    return (wave_ * fade).astype(np.float32)


def resampled(pcm: np.ndarray, rate: int) -> np.ndarray:
    """From `rate`, which divides 48 kHz, by zeros in the spectrum: no images, no loss of level."""
    if rate == RATE or len(pcm) == 0:
        return pcm
    factor = RATE // rate
    spectrum = np.fft.rfft(pcm)
    return (np.fft.irfft(spectrum, len(pcm) * factor) * factor).astype(np.float32)


# ----- levels


def level_db(pcm: np.ndarray) -> float:
    power = float(np.mean(np.square(pcm, dtype=np.float64))) if len(pcm) else 0.0
    return 10 * np.log10(max(power, 1e-10))


def levels_db(pcm: np.ndarray, hop: int = FRAME) -> np.ndarray:
    """The levels of windows of 20 ms, one every `hop` samples."""
    power = np.concatenate([[0.0], np.cumsum(np.square(pcm, dtype=np.float64))])
    starts = np.arange(0, max(0, len(pcm) - FRAME + 1), hop)
    mean = (power[starts + FRAME] - power[starts]) / FRAME
    return 10 * np.log10(np.maximum(mean, 1e-10))


def trimmed(pcm: np.ndarray) -> np.ndarray:
    """Without the silence at both ends."""
    loud = np.flatnonzero(levels_db(pcm) > SILENCE_DB)
    if len(loud) == 0:
        return pcm[:0]
    return pcm[loud[0] * FRAME : (loud[-1] + 1) * FRAME]


# ----- spectrum


@dataclass
class Tone:
    hertz: float
    snr_db: float


def strongest_tone(pcm: np.ndarray) -> Tone:
    """The strongest tone, and how far all else up to 8 kHz is below it."""
    power = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm)))) ** 2
    hertz = np.fft.rfftfreq(len(pcm), 1 / RATE)
    power[(hertz < 50) | (hertz > 8000)] = 0
    peak = hertz[np.argmax(power)]
    near = np.abs(hertz - peak) < 30
    centre = float(np.sum(hertz[near] * power[near]) / np.sum(power[near]))
    noise = max(float(np.sum(power[~near])), 1e-12)
    return Tone(centre, 10 * np.log10(float(np.sum(power[near])) / noise))


# ----- likeness

_HOP = RATE // 200


@dataclass
class Likeness:
    """How much that was heard is like what was said."""

    #: Of the envelopes, at the best place: 1 for a copy.
    correlation: float
    #: How much louder it was heard, in dB.
    gain_db: float
    #: Part of the spoken frames that were heard within 6 dB of their level.
    steady: float
    #: Part of the spoken frames that were heard as silence, or nearly.
    silent: float

    def __str__(self) -> str:
        return (
            f"correlation {self.correlation:.3f}, level {self.gain_db:+.2f} dB,"
            f" within 6 dB {self.steady:.1%}, silent {self.silent:.1%}"
        )


def likeness(said: np.ndarray, heard: np.ndarray) -> Likeness:
    lag = _best_lag(_envelope(said), _envelope(heard)) * _HOP
    # Pads what was not heard at all, so that it counts as silence.
    heard = np.pad(heard, (max(0, -lag), len(said) + max(0, lag)))
    heard = heard[max(0, lag) : max(0, lag) + len(said)]
    said_db = levels_db(said)
    spoken = said_db > SILENCE_DB + 10
    in_place = _levels_in_place(said_db, heard)
    return Likeness(
        correlation=float(np.corrcoef(_envelope(said), _envelope(heard))[0, 1]),
        gain_db=level_db(heard) - level_db(said),
        steady=float(np.mean(np.abs(in_place - said_db)[spoken] <= 6)),
        silent=float(np.mean((said_db - in_place)[spoken] > 20)),
    )


def _envelope(pcm: np.ndarray) -> np.ndarray:
    return np.maximum(levels_db(pcm, _HOP), SILENCE_DB)


def _best_lag(said: np.ndarray, heard: np.ndarray) -> int:
    """How many hops later it was heard."""
    match = np.correlate(heard - heard.mean(), said - said.mean(), "full")
    return int(np.argmax(match)) - (len(said) - 1)


def _levels_in_place(said_db: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """The level heard of each frame.

    A jitter buffer stretches and shortens time a little, so each 400 ms are looked for where they
    fit best, up to 60 ms from where the whole does. All frames of a piece move together, and the
    median decides: by the sum, a place half a frame off would win, since it spreads a lost frame
    over two that are only quieter.
    """
    pad = 12
    fine = levels_db(np.pad(heard, (pad * _HOP, pad * _HOP)), _HOP)
    step, pieces = FRAME // _HOP, []
    for start in range(0, len(said_db), 20):
        wanted = said_db[start : start + 20]
        places = (start + np.arange(len(wanted))) * step
        moved = [fine[places + shift] for shift in range(2 * pad + 1)]
        pieces.append(min(moved, key=lambda levels: np.median(np.abs(levels - wanted))))
    return np.concatenate(pieces)
