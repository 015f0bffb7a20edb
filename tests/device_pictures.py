"""Pictures and tensors that the tests send to a device and bring back; and which devices there are."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from emulated_lane import EmulatedLane
from numpy.typing import DTypeLike, NDArray

from crossface.engine.device import DeviceBuffer, Lane
from crossface.engine.device_choice import choose
from crossface.engine.frame import Frame
from crossface.engine.on_device.kernels.pictures import DeviceKernels
from crossface.engine.on_device.kernels.records import STATISTICS
from crossface.engine.on_device.memory import DeviceFrame, DevicePlane, DeviceTensor
from crossface.engine.probe.driver import CudaDevice

on_each_device = pytest.mark.parametrize(
    "device", ["emulated", pytest.param("cuda", marks=pytest.mark.needs_gpu)]
)


@contextmanager
def pictures_on(device: str) -> Iterator[DevicePictures]:
    """A lane of the device that a test is given by `on_each_device`."""
    if device == "emulated":
        yield DevicePictures(EmulatedLane())
        return
    with Lane(cuda_device()) as lane:
        yield DevicePictures(lane)


@functools.cache
def cuda_device() -> CudaDevice:
    """The first one; the driver is asked in a process of its own, which takes time."""
    return choose("cuda").devices[0]


class DevicePictures:
    """Copies on a lane's device, and its kernels."""

    def __init__(self, lane: Any) -> None:
        self.lane = lane
        self.kernels = DeviceKernels(lane)
        self._sent_frames: list[tuple[Frame, NDArray[np.uint8], DeviceBuffer]] = []

    def frame(self, frame: Frame) -> DeviceFrame:
        """All bytes from a frame's first to its last, gaps and padding too, laid out as they are."""
        here = by_host_addresses(frame)
        planes = list(here.planes)
        for begin, end in _stretches(frame.planes):
            host = np.ctypeslib.as_array((ctypes.c_uint8 * (end - begin)).from_address(begin))
            buffer = self._sent(host)
            self._sent_frames.append((frame, host, buffer))
            planes = [
                plane._replace(address=buffer.address + was.address - begin)
                if begin <= was.address < end
                else plane
                for plane, was in zip(planes, here.planes, strict=True)
            ]
        return replace(here, planes=tuple(planes))

    def tensor(self, array: NDArray[Any]) -> DeviceTensor:
        return DeviceTensor(self._sent(np.ascontiguousarray(array)).address, array.shape, array.dtype)

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> DeviceTensor:
        wanted = np.dtype(dtype)
        size_bytes = int(np.prod(shape)) * wanted.itemsize
        return DeviceTensor(self.lane.device_buffer(size_bytes).address, shape, wanted)

    def numbers(self, tensor: DeviceTensor) -> NDArray[Any]:
        """What a tensor holds when all is done."""
        pinned = self.lane.pinned(tensor.bytes, np.uint8)
        self.lane.download(pinned, DeviceBuffer(tensor.address, tensor.bytes))
        self.lane.synchronize()
        return pinned.copy().view(tensor.dtype).reshape(tensor.shape)

    def bring_back(self) -> None:
        """Frames as they are when all is done, into the planes that they came from."""
        for _, host, buffer in self._sent_frames:
            pinned = self.lane.pinned(host.nbytes, np.uint8)
            self.lane.download(pinned, buffer)
            self.lane.synchronize()
            host[:] = pinned
        self._sent_frames.clear()

    def _sent(self, array: NDArray[Any]) -> DeviceBuffer:
        pinned = self.lane.pinned(array.nbytes, np.uint8)
        pinned[:] = array.reshape(-1).view(np.uint8)
        buffer = self.lane.device_buffer(array.nbytes)
        self.lane.upload(buffer, pinned)
        return buffer

    # One face, or picture, of one frame, as the functions of `kernels` do it.

    def resize(self, frame: Frame, width: int, height: int) -> tuple[NDArray[Any], float]:
        out = self.empty((1, 3, height, width), np.float32)
        scales = self.kernels.resize([self.frame(frame)], out)
        return self.numbers(out)[0], float(scales[0])

    def crop(
        self, frame: Frame, matrix: NDArray[np.float64], size: int, dtype: DTypeLike = np.float32
    ) -> NDArray[Any]:
        out = self.empty((1, 3, size, size), dtype)
        self.kernels.crop([self.frame(frame)], [0], matrix[None], out)
        return self.numbers(out)[0]

    def stats(self, images: NDArray[Any], masks: NDArray[Any]) -> NDArray[Any]:
        out = self.empty((len(images),), STATISTICS)
        self.kernels.stats(self.tensor(images), self.tensor(masks), out)
        return self.numbers(out)

    def blend(
        self,
        frame: Frame,
        matrix: NDArray[np.float64],
        face: NDArray[Any],
        mask: NDArray[Any],
        colour: NDArray[np.float64],
    ) -> bool:
        """In place; tells whether the frame shows something of the face."""
        touched = self.empty((1,), np.int32)
        self.kernels.blend(
            [self.frame(frame)],
            [0],
            matrix[None],
            self.tensor(face[None]),
            self.tensor(mask[None]),
            colour[None],
            touched,
        )
        self.bring_back()
        return bool(self.numbers(touched)[0])


def by_host_addresses(frame: Frame) -> DeviceFrame:
    """What a device would be told of a frame if its memory were the host's."""
    first, second, third = (
        DevicePlane(
            plane.ctypes.data,
            plane.strides[0],
            plane.strides[1] // plane.itemsize,
            plane.shape[1],
            plane.shape[0],
        )
        for plane in frame.planes
    )
    return DeviceFrame((first, second, third), frame.colour, frame.row_offset)


def _stretches(planes: Sequence[NDArray[Any]]) -> list[tuple[int, int]]:
    """Address ranges of planes; those that share memory are one."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(np.lib.array_utils.byte_bounds(plane) for plane in planes):
        if merged and begin < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    return merged
