"""A face's 468-point mesh, and where the network that draws it is aimed."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .align import LEFT_EYE_OUTER, NOSE_TIP, RIGHT_EYE_OUTER, Affine, Points
from .detector import Box, Detection

# Of a face that is there.
LEAST_PRESENCE = 0.5
# Side of the crop that the network sees.
MESH_SIZE_PX = 192
# The network was trained on boxes half as large again as the face.
MESH_MARGIN = 1.5

_CHEEKS = (234, 454)
# A mesh that moves less than this share of its height when it is aimed anew has settled.
_SETTLED = 0.001


@dataclass(frozen=True)
class Mesh:
    """A face in a frame.

    Attributes:
        landmarks: float64 ``[468, 2]``, luma px.
        presence: 0..1; below `LEAST_PRESENCE` there is no face there.
    """

    landmarks: Points
    presence: float

    @functools.cached_property
    def box(self) -> Box:
        """Bounds of the landmarks, ``(x0, y0, x1, y1)`` in luma px."""
        (x0, y0), (x1, y1) = self.landmarks.min(axis=0).tolist(), self.landmarks.max(axis=0).tolist()
        return x0, y0, x1, y1


class Aims:
    """Where the mesh network is aimed, as regions: affines from its crop's px to luma px.

    Args:
        display: of `display_matrix`: the network must see faces as a player shows them.
    """

    def __init__(self, display: NDArray[np.float64] | None = None) -> None:
        self.display = np.eye(2) if display is None else display
        self._undisplay = np.linalg.inv(self.display)

    def at_detection(self, detection: Detection, eye_line: NDArray[np.float64]) -> Affine:
        """For a box, and a line ``[2]`` from the right eye to the left one, on the display."""
        x0, y0, x1, y1 = detection.box
        corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) @ self.display.T
        return self._region(corners, eye_line)

    def at_landmarks(self, landmarks: Points) -> Affine:
        """For a face that lay there a frame ago."""
        return self._region(landmarks @ self.display.T, self.eye_line(landmarks))

    def eye_line(self, landmarks: Points) -> NDArray[np.float64]:
        """From a face's right eye to its left one, ``[2]`` on the display."""
        line: NDArray[np.float64] = self.display @ (landmarks[LEFT_EYE_OUTER] - landmarks[RIGHT_EYE_OUTER])
        return line

    def _region(self, shown: Points, eye_line: NDArray[np.float64]) -> Affine:
        """Crop px to luma px, for a square around ``shown`` points with the eyes level."""
        (x0, y0), (x1, y1) = shown.min(axis=0).tolist(), shown.max(axis=0).tolist()
        x, y = eye_line.tolist()
        scale = MESH_MARGIN * max(x1 - x0, y1 - y0, 1.0) / MESH_SIZE_PX / max(math.hypot(x, y), 1e-6)
        cos, sin, half = scale * x, scale * y, MESH_SIZE_PX / 2
        shift = (x0 + x1) / 2 - (cos - sin) * half, (y0 + y1) / 2 - (sin + cos) * half
        region: Affine = self._undisplay @ [[cos, -sin, shift[0]], [sin, cos, shift[1]]]
        return region


def is_settled(before: Mesh, after: Mesh) -> bool:
    """Whether a face that was aimed at anew lies where it lay."""
    moved_px = np.hypot(*(after.landmarks - before.landmarks).T)
    return float(np.median(moved_px)) < _SETTLED * float(np.ptp(after.landmarks[:, 1]))


def yaw_deg(landmarks: Points) -> float:
    """How far a face is turned, roughly: from the nose tip's place between the cheeks.

    Returns:
        Degrees, -90..90, positive where the nose points to the picture's right.
    """
    (left_x, left_y), (right_x, right_y) = landmarks[_CHEEKS, :].tolist()
    tip_x, tip_y = landmarks[NOSE_TIP].tolist()
    across_x, across_y = right_x - left_x, right_y - left_y
    along = (tip_x - left_x) * across_x + (tip_y - left_y) * across_y
    share = along / max(across_x**2 + across_y**2, 1e-9)
    # In this order what is no number comes through.
    return math.degrees(math.asin(max(min(2.0 * share - 1.0, 1.0), -1.0)))
