"""The 468-point face mesh: from a rough place to exact landmarks, and on to the next frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..frame import Frame
from ..runtime.onnx import OnnxRunner
from ..weights import locate
from .align import LEFT_EYE_OUTER, NOSE_TIP, RIGHT_EYE_OUTER, Affine, Points, apply
from .detector import Box, Detection
from .roll import RollFinder

_SIZE_PX = 192
# The network was trained on boxes half as large again as the face.
_MARGIN = 1.5
_CHEEKS = (234, 454)
# A mesh that moves less than this share of its height when it is aimed anew has settled.
_SETTLED = 0.001
_MOST_AIMS = 8


@dataclass(frozen=True)
class Mesh:
    """A face in a frame.

    Attributes:
        landmarks: float64 ``[468, 2]``, luma px.
        presence: 0..1; below about 0.5 there is no face there.
    """

    landmarks: Points
    presence: float

    @property
    def box(self) -> Box:
        """Bounds of the landmarks, ``(x0, y0, x1, y1)`` in luma px."""
        (x0, y0), (x1, y1) = self.landmarks.min(axis=0).tolist(), self.landmarks.max(axis=0).tolist()
        return x0, y0, x1, y1


class LandmarkFinder:
    """Runs the mesh network.

    Args:
        display: of `display_matrix`: the network must see faces as a player shows them.
        threads: 0 for one a core.

    Raises:
        ConfigurationError: the network's file is missing or damaged.
    """

    def __init__(self, *, display: NDArray[np.float64] | None = None, threads: int = 0) -> None:
        self._runner = OnnxRunner(locate("face_mesh"), threads=threads)
        self._display = np.eye(2) if display is None else display
        self._roll = RollFinder(display=self._display, threads=threads)

    def find(self, frame: Frame, detections: Sequence[Detection]) -> list[Mesh]:
        """Meshes of new faces, aimed anew until they settle; else a track's first frames would creep."""
        lines = self._roll.eye_lines(frame, detections)
        regions = [
            self._region_of_detection(each, line) for each, line in zip(detections, lines, strict=True)
        ]
        meshes = self._run(frame, regions)
        for _ in range(_MOST_AIMS):
            aimed, meshes = meshes, self.track(frame, meshes)
            if all(map(_settled, aimed, meshes)):
                break
        return meshes

    def track(self, frame: Frame, previous: Sequence[Mesh]) -> list[Mesh]:
        """Meshes of faces that lay at ``previous`` a frame ago, in the same order."""
        return self._run(frame, [self._region_of_landmarks(mesh.landmarks) for mesh in previous])

    def _run(self, frame: Frame, regions: Sequence[Affine]) -> list[Mesh]:
        if not regions:
            return []
        matrices = np.stack(regions)
        points, presence = self._runner.run(kernels.crop(frame, matrices, _SIZE_PX))
        return [
            Mesh(apply(matrix, points[n, :, :2].astype(np.float64)), float(presence[n, 0]))
            for n, matrix in enumerate(matrices)
        ]

    def _region_of_detection(self, detection: Detection, eye_line: NDArray[np.float64] | None) -> Affine:
        x0, y0, x1, y1 = detection.box
        corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) @ self._display.T
        return self._region(corners, np.array([1.0, 0.0]) if eye_line is None else eye_line)

    def _region_of_landmarks(self, landmarks: Points) -> Affine:
        shown = landmarks @ self._display.T
        return self._region(shown, shown[LEFT_EYE_OUTER] - shown[RIGHT_EYE_OUTER])

    def _region(self, shown: Points, eye_line: NDArray[np.float64]) -> Affine:
        """Crop px to luma px, for a square around ``shown`` points with the eyes level."""
        low, high = shown.min(axis=0), shown.max(axis=0)
        x, y = eye_line / max(float(np.hypot(*eye_line)), 1e-6)
        scale = _MARGIN * max(float((high - low).max()), 1.0) / _SIZE_PX
        linear = scale * np.array([[x, -y], [y, x]])
        offset = (low + high) / 2 - linear @ np.full(2, _SIZE_PX / 2)
        region: Affine = np.linalg.inv(self._display) @ np.column_stack([linear, offset])
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
