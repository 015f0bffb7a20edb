"""Memory for tensors on a device."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

from ..device import DeviceBuffer
from .launcher import Launcher
from .memory import DeviceTensor


def new_tensor(launcher: Launcher, shape: tuple[int, ...], dtype: DTypeLike) -> DeviceTensor:
    """In memory of its own, not filled."""
    kind = np.dtype(dtype)
    return DeviceTensor(launcher.device_buffer(math.prod(shape) * kind.itemsize).address, shape, kind)


def buffer_of(tensor: DeviceTensor) -> DeviceBuffer:
    """The memory that it lies in."""
    return DeviceBuffer(tensor.address, tensor.bytes)
