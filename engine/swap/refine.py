"""What of the new face's expression is made the source's."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .lids import refine_eyes
from .lips import refine_lips
from .mesh_finder import MeshFinder

Refine = Literal["off", "eyes", "mouth", "eyes,mouth"]
REFINES: tuple[Refine, ...] = ("off", "eyes", "mouth", "eyes,mouth")


class Refiner:
    """Shuts eyes, and closes lips, that the network left open.

    Args:
        refine: which of them.

    Raises:
        ConfigurationError: the network that finds them is missing or damaged.
    """

    def __init__(self, refine: Refine) -> None:
        self._eyes, self._mouth = "eyes" in refine, "mouth" in refine
        self._mesh = MeshFinder()

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
            drawn = refine_eyes(drawn, source, landmarks, self._mesh)
        return refine_lips(drawn, source, landmarks, self._mesh) if self._mouth else drawn
