"""Tensors of flags, all of one value before a kernel changes some."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...device import DeviceBuffer
from ..launcher import Launcher
from ..memory import DeviceTensor


class Constant:
    """Fills int32 tensors with one value.

    Args:
        launcher: the lane.
        value: of all numbers.
    """

    def __init__(self, launcher: Launcher, value: int) -> None:
        self._launcher = launcher
        self._value = value
        self._pinned: NDArray[np.int32] = np.empty(0, np.int32)

    def upload(self, tensor: DeviceTensor) -> None:
        """Fills an int32 tensor, in turn."""
        count = tensor.bytes // 4
        if len(self._pinned) < count:
            self._pinned = self._launcher.pinned(1 << (count - 1).bit_length(), np.int32)
            self._pinned[:] = self._value
        if count:
            self._launcher.upload(DeviceBuffer(tensor.address, tensor.bytes), self._pinned[:count])
