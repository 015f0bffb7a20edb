"""Faces followed from frame to frame on a device, without the host between.

Where the mesh network is aimed in a frame follows from what it drew in the frame before, and a kernel works
that out. So the runs of many frames are launched at once, and what they found comes back together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..device import DeviceBuffer
from ..face.align import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, Affine
from ..face.mesh import LEAST_PRESENCE, MESH_MARGIN, MESH_SIZE_PX, Mesh
from ..face.quick_crop import LEAST_SPAN
from ..weights import locate
from .answers import Answer, Answers
from .frame import LaneFrame
from .kernels.mesh_chain import FollowRule, MeshChain, aims_at
from .kernels.records import AIM, FOUND_MESH
from .kernels.upload_ring import UploadRing
from .memory import DeviceTensor
from .network import BoundNetwork
from .place import DeviceLane, Place
from .tensors import new_tensor

# Of a run of the network, fixed: on a device one face takes as long as a few.
FACES_A_RUN = 4


@dataclass(frozen=True)
class ChainedMesh(Mesh):
    """A mesh that knows where its chain goes on.

    Attributes:
        stretch: where it comes from.
        row: of the face in it.
        number: of the frame in it.
    """

    stretch: Stretch
    row: int
    number: int

    def next_in(self, frame: LaneFrame) -> ChainedMesh | None:
        """The face in a frame, if the chain goes there next; waits for the device."""
        stretch, number = self.stretch, self.number + 1
        if number == len(stretch.frames):
            if stretch.then is None:
                return None
            stretch, number = stretch.then, 0
        return stretch.mesh(self.row, number) if stretch.frames[number] is frame else None


@dataclass(eq=False)
class Stretch:
    """Runs that were launched together.

    Attributes:
        chain: whose they are.
        frames: one a run.
        answer: `FOUND_MESH` ``[frames * faces]``.
        then: where the chain goes on.
    """

    chain: Chain
    frames: Sequence[LaneFrame]
    answer: Answer
    then: Stretch | None = None

    def mesh(self, row: int, number: int) -> ChainedMesh:
        """A face in a frame; waits for the device until it has come that far."""
        self.chain.asked.add(row)
        (faces,) = self.chain.aims.shape
        found = self.answer.read()[0][number * faces + row]
        return ChainedMesh(found["landmarks"], float(found["presence"]), self, row, number)


@dataclass(eq=False)
class Chain:
    """Up to `FACES_A_RUN` faces that are followed together.

    Attributes:
        aims: where they are looked for next, when the device has come that far; `AIM` ``[faces]``.
        last: the runs that were launched last.
        asked: rows that somebody asked for since this was last emptied.
    """

    aims: DeviceTensor
    last: Stretch | None = None
    asked: set[int] = field(default_factory=set)


class Chains:
    """Launches chains.

    Args:
        place: runs the mesh network.
        lane: in whose order.
        answers: of that lane.
        display: of `display_matrix`.
        most_frames: that are launched at once.

    Raises:
        ConfigurationError: the network's file is missing or damaged.
        BadInputError, DeviceUnavailableError, OutOfMemoryError: as `BoundNetwork`.
    """

    def __init__(
        self,
        place: Place,
        lane: DeviceLane,
        answers: Answers,
        display: NDArray[np.float64],
        *,
        most_frames: int,
    ) -> None:
        self._lane, self._answers = lane, answers
        rule = FollowRule(
            MESH_SIZE_PX, MESH_MARGIN, (RIGHT_EYE_OUTER, LEFT_EYE_OUTER), LEAST_PRESENCE, LEAST_SPAN, display
        )
        self._kernels = MeshChain(lane, rule, FACES_A_RUN)
        shape = FACES_A_RUN, 3, MESH_SIZE_PX, MESH_SIZE_PX
        self._network = BoundNetwork(place, lane, locate("face_mesh"), shape)
        # Read before the next stretch fills it: the lane keeps the order.
        self._found = new_tensor(lane, (most_frames * FACES_A_RUN,), FOUND_MESH)
        self._uploads = UploadRing(lane)
        self._free: list[DeviceTensor] = []

    def start(self, regions: Sequence[Affine]) -> Chain:
        """A chain of 1 to `FACES_A_RUN` faces.

        Args:
            regions: affines ``[2, 3]`` of `Aims`, in the first frame.

        Raises:
            ValueError: a region is not finite.
        """
        room = self._free.pop() if self._free else new_tensor(self._lane, (FACES_A_RUN,), AIM)
        aims = room.part(0, len(regions))
        (uploaded_at,) = self._uploads.upload(aims_at(np.stack(regions)))
        self._lane.copy(DeviceBuffer(aims.address, aims.bytes), DeviceBuffer(uploaded_at, aims.bytes))
        return Chain(aims)

    def extend(self, chain: Chain, frames: Sequence[LaneFrame]) -> Stretch:
        """Follows a chain's faces through the frames that come next; does not wait."""
        (faces,) = chain.aims.shape
        points, presences = self._network.outputs
        found = self._found.part(0, len(frames) * faces)
        self._kernels.begin([frame.planes for frame in frames], chain.aims)
        for n in range(len(frames)):
            self._kernels.crop(self._network.input)
            self._network.run()
            self._kernels.follow(points, presences, found.part(n * faces, faces))
        stretch = Stretch(chain, frames, self._answers.ask(found))
        if chain.last is not None:
            chain.last.then = stretch
        chain.last = stretch
        return stretch

    def end(self, chain: Chain) -> None:
        """Lets others have its memory; what was launched of it can still be read."""
        self._free.append(replace(chain.aims, shape=(FACES_A_RUN,)))
