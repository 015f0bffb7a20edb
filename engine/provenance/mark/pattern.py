"""Where in a face the mark lies: chips of an aligned square, and which bit of the code each belongs to.

The square is one face height wide, as `align.TEMPLATE` places it. The key is public: it is the text below.
"""

from __future__ import annotations

import functools
import hashlib

import numpy as np
from numpy.typing import NDArray

from .payload import CODE_BITS, Payload, encode

# Chips along each side: of a face of 200 px a chip has 4 px, which both half a picture's size and strong
# compression leave some of.
SIDE = 64
CHIPS_A_BIT = 20
# Coverage, as of `crop_to_frame`, of the square.
COVERAGE = 1.0

_KEY = b"crossface mark 1"
# Of an ellipse whose inside is face whoever it is: its centre, and its width over its height.
_CENTRE_Y, _ASPECT = -0.01, 0.81


@functools.cache
def chips() -> NDArray[np.int32]:
    """int32 ``[96, 20]``: the chips of each bit of the code, counted along rows; no chip is in two."""
    at = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    distance = np.hypot(at[None, :] / _ASPECT, at[:, None] - _CENTRE_Y).ravel()
    inside = np.argsort(distance, kind="stable")[: CODE_BITS * CHIPS_A_BIT]
    order = np.argsort(_random("chips", 8 * len(inside)).view("<u8"), kind="stable")
    return inside[order].reshape(CODE_BITS, CHIPS_A_BIT).astype(np.int32)


@functools.cache
def signs() -> NDArray[np.float32]:
    """float32 ``[96, 20]``: 1 or -1, which a chip is multiplied by."""
    bits = _random("signs", CODE_BITS * CHIPS_A_BIT) & 1
    return (1 - 2 * bits.astype(np.float32)).reshape(CODE_BITS, CHIPS_A_BIT)


def signs_of(payload: Payload) -> NDArray[np.float32]:
    """float32 ``[96, 20]``: the signs that the chips of a face are to have."""
    return signs() * encode(payload.bits())[:, None]


def _random(what: str, size_bytes: int) -> NDArray[np.uint8]:
    return np.frombuffer(hashlib.shake_256(_KEY + what.encode()).digest(size_bytes), np.uint8)
