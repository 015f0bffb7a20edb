"""What lies before faces, found on a lane; see `swap.occlusion`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..face.align import Affine
from ..swap.occlusion import NETWORK, SIZE_PX, looked_at
from ..weights import locate_own
from .memory import DeviceFrame, DeviceTensor
from .network import BoundNetwork
from .place import Place, Shape
from .tensors import new_tensor
from .tools import Tools


def occlusion_network(batch: int) -> tuple[Path, Shape]:
    """The network's file, and the shape that it runs in.

    Raises:
        ConfigurationError: the file is missing or was changed.
    """
    return locate_own(NETWORK), (batch, 3, SIZE_PX, SIZE_PX)


class LaneOcclusion:
    """The network on one lane, in one shape.

    Args:
        place: runs it.
        tools: on the lane that all work is given to.
        batch: faces a run.

    Raises:
        ConfigurationError: its file is missing or was changed.
        BadInputError, DeviceUnavailableError, OutOfMemoryError: as `BoundNetwork`.
    """

    def __init__(self, place: Place, tools: Tools, *, batch: int) -> None:
        self._pictures, self._values, self._batch = tools.pictures, tools.values, batch
        self._network = BoundNetwork(place, tools.lane, *occlusion_network(batch))
        self._crops = new_tensor(tools.lane, (batch, 3, SIZE_PX, SIZE_PX), np.float32)

    def look(
        self,
        frames: Sequence[DeviceFrame],
        work: Sequence[tuple[int, Affine]],
        size_px: int,
        visible: DeviceTensor,
        covered: DeviceTensor,
    ) -> None:
        """Looks at faces; waits for nothing.

        Args:
            frames: of a batch.
            work: of each face the number of its frame, and the square that is drawn: px of ``size_px`` a side
                to luma px.
            size_px: see ``work``.
            visible: float32 ``[room, 64, 64]``, filled as `swap.occlusion.Seen` says; there is room for
                whole batches.
            covered: float32 ``[room]``, the same.
        """
        for first in range(0, len(work), self._batch):
            part = work[first : first + self._batch]
            squares = np.array([looked_at(placed, size_px) for _, placed in part])
            self._pictures.crop(frames, [number for number, _ in part], squares, self._crops)
            self._values.prepare(self._crops, self._network.input, low=0.0, high=1.0)
            self._network.run()
            maps, shares = (_without_channels(each) for each in self._network.outputs)
            self._values.prepare(maps, visible.part(first, self._batch))
            self._values.prepare(shares, covered.part(first, self._batch))


def _without_channels(tensor: DeviceTensor) -> DeviceTensor:
    """``[N, 1, ...]`` as ``[N, ...]``."""
    return DeviceTensor(tensor.address, (tensor.shape[0], *tensor.shape[2:]), tensor.dtype)
