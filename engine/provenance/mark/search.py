"""Finds the mark in aligned faces that were laid over each other.

Where the mark lies is only known roughly: landmarks of the new face are not those of the old one. So places
around are tried, each is decoded, and the best one counts.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .blur import blur
from .pattern import CHIPS_A_BIT, SIDE, chips, signs
from .payload import CODE_BITS, Payload, decode, encode

# Samples along a chip, of the picture that is searched.
CHIP_PX = 3
PICTURE_PX = CHIP_PX * SIDE

# Of `kernels.mark`, in chips: what detail is, and over what its strength is measured. In codes of 8 bits:
# a strength that every face has, and what an edge counts at most.
_DETAIL_CHIPS, _ACTIVITY_CHIPS = 0.6, 1.5
_LEAST_ACTIVITY, _MOST_DETAIL = 2.0, 12.0

# What is tried, and how finely.
_SCALES = (0.94, 0.96, 0.98, 1.0, 1.02, 1.04, 1.06, 1.08)
_TURNS_DEG = (-3.0, -1.5, 0.0, 1.5, 3.0)
_SHIFTS_PX = tuple(1.5 * n for n in range(-5, 6))
# How many pictures are searched alone, how many of the best places are followed, how often, and how far,
# in steps of the above.
_ALONE, _FOLLOWED, _ROUNDS, _REACH = 7, 6, 3, (3, 1, 3, 3)


@dataclass(frozen=True)
class Reading:
    """What a search found.

    Attributes:
        likeness: correlation of the code that was read and the nearest one that there is, 0..1.
        payload: None where that code says nothing.
    """

    likeness: float
    payload: Payload | None


def detail_of(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """What of an aligned face may be mark: fine detail, over how strong it is around.

    Args:
        luma: float32 ``[144, 144]``, of `PICTURE_PX`, in codes of 8 bits.
    """
    mean = _box(luma)
    detail = mean - blur(mean, _DETAIL_CHIPS * CHIP_PX)
    power = np.minimum(np.abs(detail), _MOST_DETAIL) ** 2
    activity = np.sqrt(blur(power, _ACTIVITY_CHIPS * CHIP_PX)) + np.float32(_LEAST_ACTIVITY)
    found: NDArray[np.float32] = (detail / activity).astype(np.float32)
    return found


def codes(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """The bits of the code as they are read at each place that is tried, float32 ``[places, 96]``.

    Args:
        picture: sum or mean of `detail_of`.
    """
    columns, rows = _places()
    left, top = columns.astype(np.intp), rows.astype(np.intp)
    x, y = (columns - left).astype(np.float32), (rows - top).astype(np.float32)
    flat, at = picture.ravel(), top * PICTURE_PX + left
    upper = flat[at] * (1 - x) + flat[at + 1] * x
    lower = flat[at + PICTURE_PX] * (1 - x) + flat[at + PICTURE_PX + 1] * x
    chip = upper * (1 - y) + lower * y
    read: NDArray[np.float32] = (chip.reshape(-1, CODE_BITS, CHIPS_A_BIT) * signs()).sum(axis=2)
    return read


def likeliest(read: NDArray[np.float32]) -> list[Reading]:
    """What codes ``[N, 96]`` say."""
    # In parts, for the decoder's memory.
    bits = np.concatenate([decode(part) for part in np.array_split(read, -(-len(read) // 512))])
    like = (read * encode(bits)).sum(axis=1) / (np.sqrt(CODE_BITS) * np.linalg.norm(read, axis=1) + 1e-12)
    return [Reading(float(each), Payload.from_bits(said)) for each, said in zip(like, bits, strict=True)]


def search(pictures: Sequence[NDArray[np.float32]]) -> Reading:
    """The best of `candidates`: of those that say something, else of all."""
    found = candidates(pictures)
    return max(found, key=lambda reading: (reading.payload is not None, reading.likeness))


def candidates(pictures: Sequence[NDArray[np.float32]]) -> list[Reading]:
    """What is read at the best of all places.

    Where a new face lies in the old one changes as both speak. So the best places of all pictures together
    and of some pictures alone are only where the search begins: each picture then moves to where it says
    most clearly what all say.

    Args:
        pictures: sums of `detail_of`, of parts of a track.
    """
    parts = np.stack([codes(picture) for picture in pictures])
    found: list[Reading] = []
    alone = {len(parts) * n // _ALONE for n in range(_ALONE)} if len(parts) > 1 else set()
    for begun in (parts.sum(axis=0), *(parts[n] for n in sorted(alone))):
        readings = likeliest(begun)
        for place in sorted(range(len(readings)), key=lambda place: -readings[place].likeness)[:_FOLLOWED]:
            read, near = begun[place], _near(place)
            found.append(readings[place])
            for _ in range(_ROUNDS):
                said = encode(decode(read[None]))[0]
                read = sum(part[near[int((part[near] @ said).argmax())]] for part in parts)
            found += likeliest(read[None])
    return found


def _near(place: int) -> NDArray[np.intp]:
    """Numbers of the places around one."""
    shape = len(_SCALES), len(_TURNS_DEG), len(_SHIFTS_PX), len(_SHIFTS_PX)
    middle = [int(at) for at in np.unravel_index(place, shape)]
    spans = [
        np.arange(max(at - reach, 0), min(at + reach + 1, length))
        for at, reach, length in zip(middle, _REACH, shape, strict=True)
    ]
    return np.ravel_multi_index(np.meshgrid(*spans, indexing="ij"), shape).ravel()


@functools.cache
def _places() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Columns and rows, float32 ``[places, 96 * 12]``, of the chips' centres in the picture."""
    row, column = np.divmod(chips().ravel(), SIDE)
    chip = (column + 0.5 - SIDE / 2) + 1j * (row + 0.5 - SIDE / 2)
    turned = np.array([s * np.exp(1j * np.radians(t)) for s in _SCALES for t in _TURNS_DEG])
    shifts = np.array([x + 1j * y for y in _SHIFTS_PX for x in _SHIFTS_PX])
    middle = (PICTURE_PX - 1) / 2 * (1 + 1j)
    at = CHIP_PX * turned[:, None, None] * chip + shifts[None, :, None] + middle
    at = at.reshape(-1, len(chip))
    most = PICTURE_PX - 1.001
    return np.clip(at.real, 0, most).astype(np.float32), np.clip(at.imag, 0, most).astype(np.float32)


def _box(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over a chip around each sample."""
    padded = np.pad(luma, CHIP_PX // 2, mode="edge")
    mean = np.zeros_like(luma)
    for down in range(CHIP_PX):
        for across in range(CHIP_PX):
            mean += padded[down : down + luma.shape[0], across : across + luma.shape[1]]
    return mean / np.float32(CHIP_PX**2)
