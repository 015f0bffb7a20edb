"""Where the parts of a face are in a picture of it, as a network drew it or as a frame shows it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..face.align import Points, apply
from ..face.mesh import LEAST_PRESENCE, MESH_SIZE_PX, Aims
from ..frame import ColourDescription, Frame, Matrix, Siting
from ..runtime.onnx import OnnxRunner
from ..weights import locate

_FLOATS = ColourDescription(Matrix.RGB, True, Siting.LEFT, 32, 0, 0)


class MeshFinder:
    """The mesh network, on one thread.

    Raises:
        ConfigurationError: its file is missing or damaged.
    """

    def __init__(self) -> None:
        self._network = OnnxRunner(locate("face_mesh"), threads=1)

    def find(self, picture: NDArray[np.float32], landmarks: NDArray[np.floating]) -> Points | None:
        """The mesh ``[468, 2]`` of the face that lies at ``landmarks``, px; None where none is seen.

        Args:
            picture: float32 RGB ``[3, R, R]`` in 0..1.
            landmarks: ``[468, 2]``, px; those that nobody knows are no numbers.
        """
        known = np.isfinite(landmarks).all(axis=1)
        places = np.where(known[:, None], landmarks, landmarks[known].mean(axis=0)).astype(np.float64)
        region = Aims().at_landmarks(places)
        red, green, blue = picture
        frame = Frame(0, 0, 0, Fraction(1), (green, blue, red), _FLOATS, None)
        points, presence = self._network.run(kernels.crop(frame, region[None], MESH_SIZE_PX))
        if float(presence[0, 0]) < LEAST_PRESENCE:
            return None
        return apply(region, points[0, :, :2].astype(np.float64))
