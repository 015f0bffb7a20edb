"""The 468-point face mesh: from a rough place to exact landmarks, and on to the next frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from ..frame import Frame
from ..runtime.onnx import OnnxRunner
from ..weights import locate
from .align import Affine, apply
from .detector import Detection
from .mesh import LEAST_PRESENCE, MESH_SIZE_PX, Aims, Mesh, is_settled
from .quick_crop import quick_crop
from .roll import RollFinder, Votes, aimed_lines, right_way_up
from .windows import AnyFrame

# Of a new face, until it has settled.
MOST_AIMS = 8
_AIMS_AT_NONE = 2
_FOUR_WAYS = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])


class MeshFinder(ABC, Generic[AnyFrame]):
    """Finds the meshes of faces.

    Args:
        display: of `display_matrix`.
    """

    def __init__(self, display: NDArray[np.float64] | None = None) -> None:
        self.aims = Aims(display)

    @abstractmethod
    def _measure_each(self, frame: AnyFrame, regions: Iterable[Affine]) -> Iterable[Mesh]:
        """Runs the network once for each region, at the latest when its mesh is asked for."""

    @abstractmethod
    def _votes(self, frame: AnyFrame, detection: Detection) -> Votes:
        """Of `roll.eye_votes`."""

    def _measure_next(
        self, frame: AnyFrame, previous: Sequence[Mesh], then: Sequence[AnyFrame]
    ) -> list[Mesh]:
        """Runs the network once for each of the faces of `track`."""
        del then
        return list(self._measure_each(frame, (self.aims.at_landmarks(mesh.landmarks) for mesh in previous)))

    def is_face(self, frame: AnyFrame, detection: Detection) -> bool:
        """Whether the network sees a face there, whichever way up: what tells false alarms apart, cheaply."""
        regions = (self.aims.at_detection(detection, line) for line in _FOUR_WAYS)
        return any(mesh.presence >= LEAST_PRESENCE for mesh in self._measure_each(frame, regions))

    def find(self, frame: AnyFrame, detections: Sequence[Detection]) -> list[Mesh]:
        """Meshes of new faces, whichever way up; where there is none, ``presence`` is low."""
        return [self._find(frame, detection) for detection in detections]

    def track(self, frame: AnyFrame, previous: Sequence[Mesh], then: Sequence[AnyFrame] = ()) -> list[Mesh]:
        """Meshes of faces that lay at ``previous`` a frame ago, in the same order.

        ``then`` are the frames in which the same faces will most likely be asked for next, in turn.
        """
        return [self._confirmed(frame, mesh) for mesh in self._measure_next(frame, previous, then)]

    def _find(self, frame: AnyFrame, detection: Detection) -> Mesh:
        """Aimed anew until it settles; else a track's first frames would creep."""
        regions = [self.aims.at_detection(detection, line) for line in aimed_lines()]
        meshes = list(self._measure_each(frame, regions))
        lines = np.stack([self.aims.eye_line(mesh.landmarks) for mesh in meshes])
        mesh = self._confirmed(frame, right_way_up(meshes, lines, self._votes(frame, detection)))
        if mesh.presence < LEAST_PRESENCE:
            return mesh
        for _ in range(MOST_AIMS):
            before, aimed = mesh, self._confirmed(frame, self._measure_again(frame, mesh))
            if aimed.presence < LEAST_PRESENCE:
                break
            mesh = aimed
            if is_settled(before, mesh):
                break
        return mesh

    def _confirmed(self, frame: AnyFrame, mesh: Mesh) -> Mesh:
        """Where none is seen it is aimed at again: half a face, or one half turned away, may need that."""
        for _ in range(_AIMS_AT_NONE):
            if mesh.presence >= LEAST_PRESENCE:
                break
            mesh = self._measure_again(frame, mesh)
        return mesh

    def _measure(self, frame: AnyFrame, region: Affine) -> Mesh:
        (mesh,) = self._measure_each(frame, [region])
        return mesh

    def _measure_again(self, frame: AnyFrame, mesh: Mesh) -> Mesh:
        """Runs the network once more in the same frame, aimed by what it drew."""
        return self._measure(frame, self.aims.at_landmarks(mesh.landmarks))


class LandmarkFinder(MeshFinder[Frame]):
    """Runs the mesh network on the CPU, a face at a time: batches cost as much or more there.

    Args:
        display: of `display_matrix`: the network must see faces as a player shows them.
        threads: of network and kernel; 0 for one, as more finish sooner but cost a third more CPU time.

    Raises:
        ConfigurationError: the network's file is missing or damaged.
    """

    def __init__(self, *, display: NDArray[np.float64] | None = None, threads: int = 0) -> None:
        super().__init__(display)
        self._runner = OnnxRunner(locate("face_mesh"), threads=threads or 1)
        self._roll = RollFinder(display=self.aims.display, threads=threads or 1)
        self._threads = threads or 1

    def _measure_each(self, frame: Frame, regions: Iterable[Affine]) -> Iterator[Mesh]:
        for region in regions:
            crop = quick_crop(frame, region, MESH_SIZE_PX, threads=self._threads)
            points, presence = self._runner.run(crop[None])
            yield Mesh(apply(region, points[0, :, :2].astype(np.float64)), float(presence[0, 0]))

    def _votes(self, frame: Frame, detection: Detection) -> Votes:
        return self._roll.votes(frame, detection)
