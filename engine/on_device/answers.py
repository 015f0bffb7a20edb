"""What comes back from a device: copied while the host goes on, and read when it is there."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..device import DeviceBuffer, Event
from .memory import DeviceTensor
from .place import DeviceLane

# The host's caches are not shared between two tensors.
_ALIGNMENT_BYTES = 64


class Answer:
    """Some tensors as they were when `Answers.ask` was called.

    Args:
        answers: reads it.
        tensors: on the device.
        pinned: to where they are copied, one after the other.
        copied: when that is over.
    """

    def __init__(
        self, answers: Answers, tensors: tuple[DeviceTensor, ...], pinned: NDArray[np.uint8], copied: Event
    ) -> None:
        self.pinned, self.copied = pinned, copied
        self._answers, self._tensors = answers, tensors
        self._arrays: tuple[NDArray[Any], ...] | None = None

    def read(self) -> tuple[NDArray[Any], ...]:
        """An array for each tensor; waits for the device until it has come that far."""
        if self._arrays is None:
            self._answers.wait_for(self)
        assert self._arrays is not None
        return self._arrays

    def keep(self) -> None:
        """Takes the arrays out of the pinned memory, which others then use."""
        arrays, begin = [], 0
        for tensor in self._tensors:
            taken = self.pinned[begin : begin + tensor.bytes].copy()
            arrays.append(taken.view(tensor.dtype).reshape(tensor.shape))
            begin += _aligned(tensor.bytes)
        self._arrays = tuple(arrays)


class Answers:
    """Copies tensors back to the host, through pinned memory that is used again.

    Args:
        lane: does the copies in its turn.
    """

    def __init__(self, lane: DeviceLane) -> None:
        self._lane = lane
        self._asked: deque[Answer] = deque()
        self._free: dict[int, list[NDArray[np.uint8]]] = {}

    def ask(self, *tensors: DeviceTensor) -> Answer:
        """Starts the copies; does not wait."""
        # Of few sizes, so that what one answer had will do for the next.
        size_bytes = 1 << (sum(_aligned(tensor.bytes) for tensor in tensors) - 1).bit_length()
        free = self._free.setdefault(size_bytes, [])
        pinned = free.pop() if free else self._lane.pinned(size_bytes, np.uint8)
        begin = 0
        for tensor in tensors:
            target = pinned[begin : begin + tensor.bytes]
            self._lane.download(target, DeviceBuffer(tensor.address, tensor.bytes))
            begin += _aligned(tensor.bytes)
        answer = Answer(self, tensors, pinned, self._lane.record())
        self._asked.append(answer)
        return answer

    def wait_for(self, answer: Answer) -> None:
        """Waits for an answer, and keeps all that were asked for before it: they are there as well."""
        self._lane.synchronize(answer.copied)
        while True:
            there = self._asked.popleft()
            there.keep()
            self._free[there.pinned.nbytes].append(there.pinned)
            if there is answer:
                return


def _aligned(bytes: int) -> int:
    return -(-bytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
