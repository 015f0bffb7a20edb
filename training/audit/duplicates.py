"""Near-duplicates: pictures that would teach a network nothing new."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .measure import FaceMeasures

# Root mean square difference of two small faces turned to the front, 8-bit codes: what grain and
# compression alone make of a face that holds still, measured on webcam clips, with a little to spare.
_SAME_CODES = 3.0
# A face may turn by so much between two that look alike; degrees.
_SAME_POSE_DEG = 1.5


class Gathering:
    """Faces that are no near-duplicates of each other."""

    def __init__(self) -> None:
        self._small = np.empty((0, 0), np.float32)
        self._pose = np.empty((0, 2))
        self.count = 0

    def add(self, small: NDArray[np.float32], yaw_deg: float, pitch_deg: float) -> int | None:
        """Adds a face, unless it is near to one that is here: then gives that one's number."""
        flat, pose = small.ravel(), np.array([yaw_deg, pitch_deg])
        if self.count:
            alike = np.flatnonzero(np.abs(self._pose[: self.count] - pose).max(axis=1) < _SAME_POSE_DEG)
            differences = ((self._small[alike] - flat) ** 2).mean(axis=1)
            if len(alike) and differences.min() < _SAME_CODES**2:
                return int(alike[differences.argmin()])
        if self.count == len(self._small):
            room = max(64, 2 * self.count)
            self._small = (
                np.resize(self._small, (room, flat.size))
                if self.count
                else np.empty((room, flat.size), np.float32)
            )
            self._pose = np.resize(self._pose, (room, 2)) if self.count else np.empty((room, 2))
        self._small[self.count], self._pose[self.count] = flat, pose
        self.count += 1
        return None


def first_of_alike(faces: FaceMeasures) -> NDArray[np.intp]:
    """For each face the first one that it is a near-duplicate of; itself where there is none."""
    gathering = Gathering()
    kept: list[int] = []
    first = np.arange(len(faces))
    for n in range(len(faces)):
        other = gathering.add(faces.small[n], float(faces.yaw_deg[n]), float(faces.pitch_deg[n]))
        if other is None:
            kept.append(n)
        else:
            first[n] = kept[other]
    return first
