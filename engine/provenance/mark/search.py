"""Finds the mark in aligned faces that were laid over each other.

Where the mark lies is only known roughly: landmarks of the new face are not those of the old one. So places
around are tried, each is decoded, and the best one counts. A mark draws the search to it from many sides,
chance from few: so how many ways led to a code counts, too.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .blur import blur
from .pattern import SIDE, chips, signs
from .payload import CODE_BITS, Payload, agreement, decode, encode

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
# In half chips, to both sides; and how many half chips are looked at along each side of the square then.
_SHIFTS = 5
_NODES = 2 * (SIDE - 1 + _SHIFTS) + 1
# How many pictures are searched alone, how many of the best places are followed, how often, and how far,
# in steps of the above.
_ALONE, _FOLLOWED, _ROUNDS, _REACH = 7, 6, 3, (3, 1, 3, 3)
# In faces without a mark half of all searches come to their best code by two ways at most, and one in a
# hundred by more than six; in marked ones nearly all by nine and more.
_CERTAINTY_OF_DOUBLING = 0.02


@dataclass(frozen=True)
class Reading:
    """What a search found.

    Attributes:
        likeness: correlation of the code that was read and the nearest one that there is, 0..1.
        payload: None where that code says nothing.
        ways: how many of the search's candidates read the same code.
    """

    likeness: float
    payload: Payload | None
    ways: int = 1

    @property
    def certainty(self) -> float:
        """The likeness, and something for each doubling of the ways."""
        return self.likeness + _CERTAINTY_OF_DOUBLING * math.log2(self.ways)


def detail_of(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """What of an aligned face may be mark: fine detail, over how strong it is around.

    Args:
        luma: float32 ``[192, 192]``, of `PICTURE_PX`, in codes of 8 bits.
    """
    mean = _box(luma)
    detail = mean - blur(mean, _DETAIL_CHIPS * CHIP_PX)
    power = np.minimum(np.abs(detail), _MOST_DETAIL) ** 2
    activity = np.sqrt(blur(power, _ACTIVITY_CHIPS * CHIP_PX)) + np.float32(_LEAST_ACTIVITY)
    found: NDArray[np.float32] = (detail / activity).astype(np.float32)
    return found


def codes(pictures: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The bits of the code as they are read at each place that is tried, float32 ``[pictures, places, 96]``.

    Args:
        pictures: sums or means of `detail_of`, at least one.
    """
    # Samples of all pictures lie side by side, for each is wanted often.
    stack = np.stack([picture.ravel() for picture in pictures], axis=1)
    chip = _chips_of_shifts()
    read = np.empty((len(pictures), len(_SCALES) * len(_TURNS_DEG), len(chip), CODE_BITS), np.float32)
    for n, grid in enumerate(_turned(stack)):
        read[:, n] = np.einsum("sbkp,bk->psb", grid[chip], signs(), optimize=False)
    return read.reshape(len(pictures), -1, CODE_BITS)


def likeliest(read: NDArray[np.float32]) -> tuple[Reading, NDArray[np.float32]]:
    """What a code ``[96]`` says, and the nearest one that there is."""
    (bits,) = decode(read[None])
    nearest = encode(bits)
    like = float((read * nearest).sum() / (np.sqrt(CODE_BITS) * np.linalg.norm(read) + 1e-12))
    return Reading(like, Payload.from_bits(bits)), nearest


def search(pictures: Sequence[NDArray[np.float32]]) -> Reading:
    """The best of `candidates`: of those that say something, else of all."""
    found = candidates(pictures)
    return max(found, key=lambda reading: (reading.payload is not None, reading.certainty))


def candidates(pictures: Sequence[NDArray[np.float32]]) -> list[Reading]:
    """What is read at the best of all places, each code once, as it is read best.

    Where a new face lies in the old one changes as both speak. So the best places of all pictures together
    and of some pictures alone are only where the search begins: each picture then moves to where it says
    most clearly what all say.

    Args:
        pictures: sums of `detail_of`, of parts of a track.
    """
    parts = codes(pictures)
    found: dict[bytes, list[Reading]] = defaultdict(list)
    alone = {len(parts) * n // _ALONE for n in range(_ALONE)} if len(parts) > 1 else set()
    for begun in (parts.sum(axis=0), *(parts[n] for n in sorted(alone))):
        clear = agreement(begun) / (np.linalg.norm(begun, axis=1) + 1e-12)
        for place in np.argsort(-clear, kind="stable")[:_FOLLOWED]:
            near = _near(int(place))
            first, said = likeliest(begun[place])
            found[said.tobytes()].append(first)
            for _ in range(_ROUNDS):
                read = sum(part[near[int((part[near] @ said).argmax())]] for part in parts)
                last, said = likeliest(read)
            found[said.tobytes()].append(last)
    return [
        replace(max(same, key=lambda reading: reading.likeness), ways=len(same)) for same in found.values()
    ]


def _near(place: int) -> NDArray[np.intp]:
    """Numbers of the places around one."""
    shape = len(_SCALES), len(_TURNS_DEG), 2 * _SHIFTS + 1, 2 * _SHIFTS + 1
    middle = [int(at) for at in np.unravel_index(place, shape)]
    spans = [
        np.arange(max(at - reach, 0), min(at + reach + 1, length))
        for at, reach, length in zip(middle, _REACH, shape, strict=True)
    ]
    return np.ravel_multi_index(np.meshgrid(*spans, indexing="ij"), shape).ravel()


def _turned(stack: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Pictures ``[samples, N]`` of each scale and turn, at half chips, ``[_NODES**2, N]``."""
    step = CHIP_PX / 2 * (np.arange(_NODES) - _NODES // 2)
    plain = step[None, :] + 1j * step[:, None]
    for scale in _SCALES:
        for turn in np.radians(_TURNS_DEG):
            at = np.ravel(scale * np.exp(1j * turn) * plain) + (PICTURE_PX - 1) / 2 * (1 + 1j)
            columns, rows = (np.clip(each, 0, PICTURE_PX - 1.001) for each in (at.real, at.imag))
            left, top = columns.astype(np.intp), rows.astype(np.intp)
            x, y = ((columns - left).astype(np.float32)[:, None], (rows - top).astype(np.float32)[:, None])
            first = top * PICTURE_PX + left
            upper = stack[first] * (1 - x) + stack[first + 1] * x
            lower = stack[first + PICTURE_PX] * (1 - x) + stack[first + PICTURE_PX + 1] * x
            yield upper * (1 - y) + lower * y


@functools.cache
def _chips_of_shifts() -> NDArray[np.intp]:
    """Where the chips' centres are in a picture of `_turned`, ``[shifts, 96, 20]``."""
    row, column = (2 * each + 1 - SIDE + _NODES // 2 for each in np.divmod(chips(), SIDE))
    shifts = np.arange(-_SHIFTS, _SHIFTS + 1)
    down, across = (each.ravel()[:, None, None] for each in np.meshgrid(shifts, shifts, indexing="ij"))
    places: NDArray[np.intp] = ((row + down) * _NODES + column + across).astype(np.intp)
    return places


def _box(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over a chip around each sample."""
    padded = np.pad(luma, CHIP_PX // 2, mode="edge")
    mean = np.zeros_like(luma)
    for down in range(CHIP_PX):
        for across in range(CHIP_PX):
            mean += padded[down : down + luma.shape[0], across : across + luma.shape[1]]
    return mean / np.float32(CHIP_PX**2)
