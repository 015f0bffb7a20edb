"""The 468-point face mesh: from a rough place to exact landmarks, and on to the next frame."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frame import Frame
from ..runtime.onnx import OnnxRunner
from ..weights import locate
from .align import LEFT_EYE_OUTER, NOSE_TIP, RIGHT_EYE_OUTER, Affine, Points, apply
from .detector import Box, Detection
from .quick_crop import quick_crop
from .roll import RollFinder

# Of a face that is there.
LEAST_PRESENCE = 0.5

_SIZE_PX = 192
# The network was trained on boxes half as large again as the face.
_MARGIN = 1.5
_CHEEKS = (234, 454)
# A mesh that moves less than this share of its height when it is aimed anew has settled.
_SETTLED = 0.001
_MOST_AIMS = 8
_AIMS_AT_NONE = 2
_FOUR_WAYS = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
_LEVEL = _FOUR_WAYS[0]


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


class LandmarkFinder:
    """Runs the mesh network, a face at a time: on a CPU batches cost as much or more.

    Args:
        display: of `display_matrix`: the network must see faces as a player shows them.
        threads: of network and kernel; 0 for one, as more finish sooner but cost a third more CPU time.

    Raises:
        ConfigurationError: the network's file is missing or damaged.
    """

    def __init__(self, *, display: NDArray[np.float64] | None = None, threads: int = 0) -> None:
        self._runner = OnnxRunner(locate("face_mesh"), threads=threads or 1)
        self._display = np.eye(2) if display is None else display
        self._undisplay = np.linalg.inv(self._display)
        self._roll = RollFinder(display=self._display, threads=threads or 1)
        self._threads = threads or 1

    def is_face(self, frame: Frame, detection: Detection) -> bool:
        """Whether the network sees a face there, whichever way up: what tells false alarms apart, cheaply."""
        return any(
            self._mesh(frame, self._region_of_detection(detection, line)).presence >= LEAST_PRESENCE
            for line in _FOUR_WAYS
        )

    def find(self, frame: Frame, detections: Sequence[Detection]) -> list[Mesh]:
        """Meshes of new faces; where there is none, ``presence`` is low."""
        lines = self._roll.eye_lines(frame, detections)
        return [self._find(frame, detection, line) for detection, line in zip(detections, lines, strict=True)]

    def track(self, frame: Frame, previous: Sequence[Mesh]) -> list[Mesh]:
        """Meshes of faces that lay at ``previous`` a frame ago, in the same order."""
        return [self._sight(frame, self._region_of_landmarks(mesh.landmarks)) for mesh in previous]

    def _find(self, frame: Frame, detection: Detection, line: NDArray[np.float64] | None) -> Mesh:
        """Aimed anew until it settles; else a track's first frames would creep."""
        mesh = self._sight(frame, self._region_of_detection(detection, _LEVEL if line is None else line))
        if mesh.presence < LEAST_PRESENCE and line is not None:
            mesh = self._sight(frame, self._region_of_detection(detection, _LEVEL))
        if mesh.presence < LEAST_PRESENCE:
            return mesh
        for _ in range(_MOST_AIMS):
            before, (aimed,) = mesh, self.track(frame, [mesh])
            if aimed.presence < LEAST_PRESENCE:
                break
            mesh = aimed
            if _settled(before, mesh):
                break
        return mesh

    def _sight(self, frame: Frame, region: Affine) -> Mesh:
        """Where none is seen it is aimed at again: half a face, or one half turned away, may need that."""
        mesh = self._mesh(frame, region)
        for _ in range(_AIMS_AT_NONE):
            if mesh.presence >= LEAST_PRESENCE:
                break
            mesh = self._mesh(frame, self._region_of_landmarks(mesh.landmarks))
        return mesh

    def _mesh(self, frame: Frame, region: Affine) -> Mesh:
        crop = quick_crop(frame, region, _SIZE_PX, threads=self._threads)
        points, presence = self._runner.run(crop[None])
        return Mesh(apply(region, points[0, :, :2].astype(np.float64)), float(presence[0, 0]))

    def _region_of_detection(self, detection: Detection, eye_line: NDArray[np.float64]) -> Affine:
        x0, y0, x1, y1 = detection.box
        corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) @ self._display.T
        return self._region(corners, eye_line)

    def _region_of_landmarks(self, landmarks: Points) -> Affine:
        shown = landmarks @ self._display.T
        return self._region(shown, shown[LEFT_EYE_OUTER] - shown[RIGHT_EYE_OUTER])

    def _region(self, shown: Points, eye_line: NDArray[np.float64]) -> Affine:
        """Crop px to luma px, for a square around ``shown`` points with the eyes level."""
        (x0, y0), (x1, y1) = shown.min(axis=0).tolist(), shown.max(axis=0).tolist()
        x, y = eye_line.tolist()
        scale = _MARGIN * max(x1 - x0, y1 - y0, 1.0) / _SIZE_PX / max(math.hypot(x, y), 1e-6)
        cos, sin, half = scale * x, scale * y, _SIZE_PX / 2
        shift = (x0 + x1) / 2 - (cos - sin) * half, (y0 + y1) / 2 - (sin + cos) * half
        region: Affine = self._undisplay @ [[cos, -sin, shift[0]], [sin, cos, shift[1]]]
        return region


def _settled(before: Mesh, after: Mesh) -> bool:
    moved_px = np.hypot(*(after.landmarks - before.landmarks).T)
    return float(np.median(moved_px)) < _SETTLED * float(np.ptp(after.landmarks[:, 1]))


def yaw_deg(landmarks: Points) -> float:
    """How far a face is turned, roughly: from the nose tip's place between the cheeks.

    Returns:
        Degrees, -90..90, positive where the nose points to the picture's right.
    """
    left, right = landmarks[_CHEEKS[0]], landmarks[_CHEEKS[1]]
    across = right - left
    share = float((landmarks[NOSE_TIP] - left) @ across / max(float(across @ across), 1e-9))
    return float(np.degrees(np.arcsin(np.clip(2.0 * share - 1.0, -1.0, 1.0))))
