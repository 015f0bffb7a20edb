"""Parts of tensors on a device."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import DTypeLike

from ..device import DeviceBuffer
from .launcher import Launcher
from .memory import DeviceTensor


def new_tensor(launcher: Launcher, shape: tuple[int, ...], dtype: DTypeLike) -> DeviceTensor:
    """In memory of its own, not filled."""
    kind = np.dtype(dtype)
    return DeviceTensor(launcher.device_buffer(math.prod(shape) * kind.itemsize).address, shape, kind)


def part(tensor: DeviceTensor, first: int, count: int) -> DeviceTensor:
    """Some items of a tensor.

    Raises:
        ValueError: it has not so many.
    """
    if not 0 <= first <= first + count <= tensor.shape[0]:
        raise ValueError(f"items {first} to {first + count - 1} of {tensor.shape}: there are none")
    each = math.prod(tensor.shape[1:]) * tensor.dtype.itemsize
    return replace(tensor, address=tensor.address + first * each, shape=(count, *tensor.shape[1:]))


def some(tensor: DeviceTensor, count: int) -> DeviceTensor:
    """The first items of a tensor; see `part`."""
    return part(tensor, 0, count)


def buffer_of(tensor: DeviceTensor) -> DeviceBuffer:
    """The memory that it lies in."""
    return DeviceBuffer(tensor.address, tensor.bytes)
