"""What of the new face's expression is made the source's."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .lids import refine_eyes
from .lips import LipCloser

Refine = Literal["off", "eyes", "mouth", "eyes,mouth"]
REFINES: tuple[Refine, ...] = ("off", "eyes", "mouth", "eyes,mouth")


class Refiner:
    """Shuts eyes, and closes lips, that the network left open.

    Args:
        refine: which of them.

    Raises:
        ConfigurationError: lips are to be closed, and the network that finds them is missing.
    """

    def __init__(self, refine: Refine) -> None:
        self._eyes = "eyes" in refine
        self._lips = LipCloser() if "mouth" in refine else None

    def refined(
        self, drawn: NDArray[np.float32], source: NDArray[np.float32], landmarks: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """The drawn face; the same array where there is nothing to do.

        Args:
            drawn: float32 ``[3, R, R]`` in 0..1.
            source: the same square of the frame.
            landmarks: ``[468, 2]`` of the source, px of both; those that nobody knows are no numbers.
        """
        if self._eyes:
            drawn = refine_eyes(drawn, source, landmarks)
        return drawn if self._lips is None else self._lips.closed(drawn, source, landmarks)
