"""One person, as a network for faces knows them: 128 numbers, near each other for pictures of one person.

How well that tells the people of the test clips apart: `docs/choosing-faces.md`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

LOOK_NUMBERS = 128
_DTYPE = np.dtype("<f2")
# Distance of a track's mean look from the person up to which it is them: to be found, and to stay so.
FOUND, _STAYS = 0.50, 0.55


def packed(look: NDArray[np.floating]) -> bytes:
    """A look ``[128]`` as 256 bytes."""
    return look.astype(_DTYPE).tobytes()


def unpacked(data: bytes) -> NDArray[np.float64]:
    """A look as `packed` gave it, float64 ``[128]``.

    Raises:
        ValueError: it is none.
    """
    look = np.frombuffer(data, _DTYPE).astype(np.float64)
    if look.shape != (LOOK_NUMBERS,) or not np.isfinite(look).all():
        raise ValueError(f"{len(data)} bytes are no look of a face")
    return look


@dataclass(frozen=True)
class Person:
    """Somebody who is looked for.

    Attributes:
        look: the mean of their pictures, float64 ``[128]``.
    """

    look: NDArray[np.float64]

    @classmethod
    def of(cls, looks: Iterable[bytes]) -> Person:
        """By pictures of theirs, one at least."""
        return cls(np.mean([unpacked(look) for look in looks], axis=0))

    @classmethod
    def parse(cls, text: str) -> Person:
        """As `text` gave it; raises UsageError."""
        try:
            return cls(unpacked(base64.b64decode(text, validate=True)))
        except ValueError as error:
            raise UsageError(
                "the person who is looked for is not known: give a picture of their face"
            ) from error

    @property
    def text(self) -> str:
        """For settings, which are kept as JSON."""
        return base64.b64encode(packed(self.look)).decode()

    def distance(self, look: NDArray[np.float64]) -> float:
        """To the mean look of a track."""
        return float(np.linalg.norm(look - self.look))

    def is_like(self, distance: float, *, found: bool) -> bool:
        """Whether a track so far away is this person; who was ``found`` before may be a little farther."""
        return distance < (_STAYS if found else FOUND)
