"""Opus as browsers use it.

And libopus itself, for what aiortc's decoder does not do: conceal a lost packet, or recover it.

aiortc decodes with FFmpeg, which has no call for a packet that was lost; browsers have. The library
comes with PyAV, on which aiortc stands anyway.
"""

import ctypes
import ctypes.util
from pathlib import Path

import av
import numpy as np
from aiortc.codecs.opus import OpusEncoder

RATE = 48_000
_LONGEST = RATE * 120 // 1000


def _library():
    beside = Path(av.__file__).parent
    bundled = [*beside.parent.glob("av.libs/libopus*"), *beside.glob(".dylibs/libopus*")]
    name = str(bundled[0]) if bundled else ctypes.util.find_library("opus")
    if name is None:
        raise RuntimeError("libopus is neither with PyAV nor on this system")
    library = ctypes.CDLL(name)
    library.opus_decoder_create.restype = ctypes.c_void_p
    library.opus_decoder_destroy.argtypes = [ctypes.c_void_p]
    library.opus_decode_float.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_int32,
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_int,
    ]
    return library


_opus = _library()


def samples_in(payload: bytes) -> int:
    """How long a packet is, at 48 kHz; negative for a broken one."""
    return _opus.opus_packet_get_nb_samples(payload, len(payload), RATE)


def carries_previous(payload: bytes) -> bool:
    """Whether a packet holds a second, coarser copy of the one before it (in-band FEC)."""
    return _opus.opus_packet_has_lbrr(payload, len(payload)) == 1


class BrowserEncoder(OpusEncoder):
    """aiortc's, which codes for music at 96 kbit/s, with a browser's settings for speech."""

    def __init__(self):
        super().__init__()
        self.codec.bit_rate = 32_000
        # The loss that is expected decides how much of the rate goes into the copies.
        self.codec.options = {"application": "voip", "fec": "1", "packet_loss": "15"}


class Decoder:
    """Decodes to mono at 48 kHz."""

    def __init__(self):
        error = ctypes.c_int()
        self._state = _opus.opus_decoder_create(RATE, 1, ctypes.byref(error))

    def __del__(self):
        _opus.opus_decoder_destroy(self._state)

    def decode(self, payload: bytes) -> np.ndarray:
        return self._decode(payload, _LONGEST, False)

    def conceal(self, samples: int) -> np.ndarray:
        """What probably was in a lost packet."""
        return self._decode(None, samples, False)

    def recover(self, next_payload: bytes, samples: int) -> np.ndarray:
        """A lost packet by what the packet after it says of it; concealed if that says nothing."""
        return self._decode(next_payload, samples, True)

    def _decode(self, payload, samples: int, recover: bool) -> np.ndarray:
        pcm = np.zeros(samples, np.float32)
        length = 0 if payload is None else len(payload)
        count = _opus.opus_decode_float(
            self._state, payload, length, pcm.ctypes.data, samples, int(recover)
        )
        if count < 0:
            raise ValueError(f"libopus gives {count} for a packet of {length} bytes")
        return pcm[:count]
