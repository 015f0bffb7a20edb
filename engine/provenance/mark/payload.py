"""What the mark says: a version, which job made the film, and check bits; and the code that protects them.

The 48 bits go through a convolutional code of rate 1/2 and 256 states (generators 753 and 561 octal), which
bites its own tail: the 96 bits of the code are all alike. Decoding is Viterbi's, with soft decisions, twice
around the circle.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VERSION = 1
_VERSION_BITS, _JOB_BITS, _CHECK_BITS = 4, 32, 12
BITS = _VERSION_BITS + _JOB_BITS + _CHECK_BITS
CODE_BITS = 2 * BITS

# x^12 + x^11 + x^3 + x^2 + x + 1, from ones: a payload of zeros has no check bits of zero.
_CHECK_POLYNOMIAL, _CHECK_START = 0x80F, 0xFFF
_GENERATORS = (0o753, 0o561)
_STATES = 256
# Codes whose metrics fit into a core's cache.
_AT_ONCE = 256


@dataclass(frozen=True)
class Payload:
    """What a mark says.

    Attributes:
        job: the first 32 bits of the hash of all that a user chose for a conversion; see `jobs.choices`.
    """

    job: int

    @classmethod
    def of(cls, job_id: str) -> Payload:
        """Of the job whose hash, in hexadecimal, this is."""
        return cls(int(job_id[:8], 16))

    def __str__(self) -> str:
        return f"{self.job:08x}"

    def bits(self) -> NDArray[np.uint8]:
        """uint8 ``[48]`` of 0 and 1, the highest of each number first."""
        head = VERSION << _JOB_BITS | self.job
        whole = head << _CHECK_BITS | _check(head)
        return np.array([whole >> (BITS - 1 - n) & 1 for n in range(BITS)], np.uint8)

    @classmethod
    def from_bits(cls, bits: NDArray[np.uint8]) -> Payload | None:
        """None where version or check bits are wrong, which one in 2**16 arbitrary payloads are not."""
        whole = functools.reduce(lambda number, bit: number << 1 | int(bit), bits, 0)
        head, check = whole >> _CHECK_BITS, whole & (1 << _CHECK_BITS) - 1
        if head >> _JOB_BITS != VERSION or _check(head) != check:
            return None
        return cls(head & (1 << _JOB_BITS) - 1)


def _check(head: int) -> int:
    check = _CHECK_START
    for n in reversed(range(_VERSION_BITS + _JOB_BITS)):
        top = check >> (_CHECK_BITS - 1) ^ head >> n & 1
        check = check << 1 & (1 << _CHECK_BITS) - 1
        if top & 1:
            check ^= _CHECK_POLYNOMIAL
    return check


def encode(bits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """float32 ``[..., 96]`` of 1 and -1, for 0 and 1, of bits ``[..., 48]``."""
    # A window of nine bits around the circle, the newest lowest.
    wide = bits.astype(np.int64)
    register = np.zeros_like(wide)
    for age in range(9):
        register |= np.roll(wide, age, axis=-1) << age
    code = np.stack([_parity(register & generator) for generator in _GENERATORS], axis=-1)
    return (1 - 2 * code).reshape(*bits.shape[:-1], CODE_BITS).astype(np.float32)


def decode(code: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The likeliest bits, uint8 ``[N, 48]``, of noisy ones ``[N, 96]`` as of `encode`."""
    steps = code.reshape(-1, BITS, 2)
    signs = _branch_signs()
    metrics = np.zeros((len(steps), _STATES), np.float32)
    laps = 2 * BITS
    from_upper = np.empty((laps, len(steps), _STATES), bool)
    for step in range(laps):
        branch = steps[:, step % BITS] @ signs
        # State n follows n // 2 and n // 2 + 128; both generators hold the oldest bit, so its branch is the
        # other's negative.
        lower = np.repeat(metrics[:, : _STATES // 2], 2, axis=1) + branch
        upper = np.repeat(metrics[:, _STATES // 2 :], 2, axis=1) - branch
        np.greater(upper, lower, out=from_upper[step])
        np.maximum(lower, upper, out=metrics)
    state = metrics.argmax(axis=1)
    bits = np.empty((len(steps), BITS), np.uint8)
    rows = np.arange(len(steps))
    half = BITS // 2
    for step in reversed(range(half, laps)):
        # Both ends of the way are guesses; its middle is not.
        if step < half + BITS:
            bits[:, step % BITS] = state & 1
        state = (state >> 1) + (_STATES // 2) * from_upper[step, rows, state]
    return bits


def agreement(code: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of noisy bits ``[N, 96]``: about their product with the likeliest code's, float32 ``[N]``.

    Much faster than `decode`, for it goes around the circle once, and does not ask that the ends fit.
    """
    found = np.empty(len(code), np.float32)
    half = _STATES // 2
    # Of the steps into an even state and the odd one after it: the same but for the sign.
    signs = _branch_signs()[:, ::2]
    kind = np.where(signs[0] == signs[1], 0, 1)
    sign = signs[0][:, None]
    for start in range(0, len(code), _AT_ONCE):
        steps = np.ascontiguousarray(code[start : start + _AT_ONCE].T).reshape(BITS, 2, -1)
        metrics = np.zeros((_STATES, steps.shape[-1]), np.float32)
        into = metrics.reshape(half, 2, -1)
        for one, other in steps:
            branch = np.stack([one + other, one - other])[kind] * sign
            lower, upper = metrics[:half], metrics[half:]
            even = np.maximum(lower + branch, upper - branch)
            odd = np.maximum(lower - branch, upper + branch)
            into[:, 0], into[:, 1] = even, odd
        found[start : start + _AT_ONCE] = metrics.max(axis=0)
    return found


@functools.cache
def _branch_signs() -> NDArray[np.float32]:
    """float32 ``[2, 256]``: the code of the step into each state from the lower of the two before it."""
    into = np.arange(_STATES)
    return np.stack([1 - 2 * _parity(into & generator) for generator in _GENERATORS]).astype(np.float32)


def _parity(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    for shift in (8, 4, 2, 1):
        numbers = numbers ^ numbers >> shift
    return numbers & 1
