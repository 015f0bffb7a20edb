"""The landmark finder of a lane: known faces are followed ahead of time, new ones are measured at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..face import blazeface
from ..face.align import Affine
from ..face.blazeface import read_anchors
from ..face.detector import Detection
from ..face.landmarks import MOST_AIMS, MeshFinder
from ..face.mesh import LEAST_PRESENCE, Mesh
from ..face.quick_crop import on_every_kth, reading_step
from ..face.roll import TURNS, Votes, eye_votes, turned_regions
from ..face.windows import Window
from ..weights import locate
from .answers import Answers
from .chains import FACES_A_RUN, Chain, ChainedMesh, Chains
from .frame import LaneFrame
from .memory import decimated
from .network import BoundNetwork
from .place import Place
from .tensors import new_tensor
from .tools import Tools


class LaneLandmarkFinder(MeshFinder[LaneFrame]):
    """Finds meshes in frames of a lane, as `LandmarkFinder` does in the host's.

    Args:
        place: runs the networks.
        tools: on the lane in whose order it does.
        answers: of that lane.
        display: of `display_matrix`.
        every: frames of a window.

    Raises:
        ConfigurationError: a network's file is missing or damaged.
        BadInputError, DeviceUnavailableError, OutOfMemoryError: as `BoundNetwork`.
    """

    def __init__(
        self,
        place: Place,
        tools: Tools,
        answers: Answers,
        *,
        display: NDArray[np.float64] | None = None,
        every: int = 5,
    ) -> None:
        super().__init__(display)
        most_frames = max(2 * every, MOST_AIMS)
        self._chains = Chains(place, tools.lane, answers, self.aims.display, most_frames=most_frames)
        self._roll = _LaneRollFinder(place, tools, answers, self.aims.display)
        self._followed: list[Chain] = []
        # The one that the tracker is about to be given, and the one after it.
        self._ahead: deque[Window[LaneFrame]] = deque(maxlen=2)

    def expect(self, window: Window[LaneFrame]) -> None:
        """Follows the faces known so far through a window, which the tracker comes to after the next one.

        That is before it is known which of them the tracker gives up or finds anew: what is followed in vain
        is not asked for, and whoever comes in later has a chain of his own.
        """
        followed, self._followed = self._followed, []
        going_on = [] if window.number == 0 else self._going_on(followed, self._ahead[-1])
        for chain in followed:
            if chain in going_on:
                self._chains.extend(chain, window.frames)
                chain.asked.clear()
                self._followed.append(chain)
            else:
                self._chains.end(chain)
        self._ahead.append(window)

    @staticmethod
    def _going_on(chains: Sequence[Chain], before: Window[LaneFrame]) -> list[Chain]:
        """Those that are still asked for and have come to a window's end."""
        asked = [
            chain
            for chain in chains
            if chain.asked and chain.last is not None and chain.last.frames[-1] is before.frames[-1]
        ]
        faces = sum(len(chain.asked) for chain in asked)
        # Where fewer would do, all end: their faces are then gathered into new ones, at the price of a wait.
        return asked if len(asked) <= -(-faces // FACES_A_RUN) else []

    def _measure_each(self, frame: LaneFrame, regions: Iterable[Affine]) -> list[Mesh]:
        chains = self._started(list(regions), [frame])
        meshes: list[Mesh] = []
        for chain in chains:
            self._chains.end(chain)
            meshes += _first_meshes(chain)
        return meshes

    def _measure_again(self, frame: LaneFrame, mesh: Mesh) -> Mesh:
        if mesh.presence < LEAST_PRESENCE:
            # A chain stays where it has lost a face, and does not aim anew.
            return super()._measure_again(frame, mesh)
        there = mesh.next_in(frame) if isinstance(mesh, ChainedMesh) else None
        if there is None:
            # A face that settles is aimed at several times: one wait for all.
            (chain,) = self._started([self.aims.at_landmarks(mesh.landmarks)], [frame] * MOST_AIMS)
            self._chains.end(chain)
            (there,) = _first_meshes(chain)
        return there

    def _measure_next(
        self, frame: LaneFrame, previous: Sequence[Mesh], then: Sequence[LaneFrame]
    ) -> list[Mesh]:
        found = [mesh.next_in(frame) if isinstance(mesh, ChainedMesh) else None for mesh in previous]
        missing = [mesh for mesh, there in zip(previous, found, strict=True) if there is None]
        regions = [self.aims.at_landmarks(mesh.landmarks) for mesh in missing]
        frames = [frame, *then]
        chains = self._started(regions, [*frames, *self._after(frames[-1])])
        self._followed += chains
        new = iter([mesh for chain in chains for mesh in _first_meshes(chain)])
        return [next(new) if there is None else there for there in found]

    def _started(self, regions: Sequence[Affine], frames: Sequence[LaneFrame]) -> list[Chain]:
        """As few chains as take them all, through all the frames."""
        chains = []
        for begin in range(0, len(regions), FACES_A_RUN):
            chain = self._chains.start(regions[begin : begin + FACES_A_RUN])
            self._chains.extend(chain, frames)
            chains.append(chain)
        return chains

    def _after(self, frame: LaneFrame) -> list[LaneFrame]:
        """What is expected of its shot after a window's last frame; nothing after others."""
        if len(self._ahead) < 2:
            return []
        window, following = self._ahead
        goes_on = window.frames[-1] is frame and following.shot == window.shot
        return following.frames if goes_on else []

    def _votes(self, frame: LaneFrame, detection: Detection) -> Votes:
        return self._roll.votes(frame, detection)


def _first_meshes(chain: Chain) -> list[ChainedMesh]:
    assert chain.last is not None
    (faces,) = chain.aims.shape
    return [chain.last.mesh(row, 0) for row in range(faces)]


class _LaneRollFinder:
    """As `RollFinder`, with all turns in one run; waits."""

    def __init__(self, place: Place, tools: Tools, answers: Answers, display: NDArray[np.float64]) -> None:
        self._tools, self._answers, self._display = tools, answers, display
        shape = TURNS, 3, blazeface.SIZE_PX, blazeface.SIZE_PX
        self._network = BoundNetwork(place, tools.lane, locate("blazeface_back"), shape)
        self._crops = new_tensor(tools.lane, shape, np.float32)

    def votes(self, frame: LaneFrame, detection: Detection) -> Votes:
        regions = turned_regions(detection, self._display)
        least_side = min(side for plane in frame.planes.planes for side in (plane.width, plane.height))
        steps = [reading_step(region, least_side) for region in regions]
        self._tools.pictures.crop(
            [decimated(frame.planes, k) for k in steps],
            range(TURNS),
            np.stack([on_every_kth(region, k) for region, k in zip(regions, steps, strict=True)]),
            self._crops,
        )
        self._tools.values.prepare(self._crops, self._network.input, scale=2.0, offset=-1.0)
        self._network.run()
        regressors, logits = self._answers.ask(*self._network.outputs).read()
        seen = [read_anchors(*each) for each in zip(regressors, logits, strict=True)]
        return eye_votes(seen, regions, self._display)
