"""What a network looks like to the rest of the engine, whatever runs it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError

Array = NDArray[np.float32] | NDArray[np.float16]
FloatType = np.dtype[np.float32] | np.dtype[np.float16]


@dataclass(frozen=True)
class Tensor:
    """Name, shape (None where it is free) and dtype of an input or output."""

    name: str
    shape: tuple[int | None, ...]
    dtype: FloatType

    @property
    def fixed_shape(self) -> tuple[int, ...]:
        """The shape.

        Raises:
            ValueError: a side is free.
        """
        sides = tuple(side for side in self.shape if side is not None)
        if len(sides) < len(self.shape):
            raise ValueError(f"{self}: has a free side")
        return sides

    @property
    def size_bytes(self) -> int:
        """Of a buffer that holds it; the shape must be fixed."""
        return math.prod(self.fixed_shape) * self.dtype.itemsize

    def __str__(self) -> str:
        sides = ",".join("?" if side is None else str(side) for side in self.shape)
        return f"{self.name} {self.dtype.name}[{sides}]"


class Runner(Protocol):
    """A network of one input, ready to run; safe to call from several threads."""

    @property
    def input(self) -> Tensor: ...

    @property
    def outputs(self) -> tuple[Tensor, ...]: ...

    def run(self, batch: Array) -> tuple[Array, ...]:
        """Runs a batch, ``[N, ...]`` of the input's dtype; gives the outputs in their order."""
        ...


@dataclass(frozen=True)
class Stream:
    """A CUDA stream of somebody else, which must outlive what runs on it.

    Attributes:
        device: number of the GPU, as CUDA counts them in this process.
        handle: its address; never 0, which is the default stream: it waits for others, and they for it.
    """

    device: int
    handle: int

    def __post_init__(self) -> None:
        if not self.handle:
            raise ValueError("the default stream cannot be lent: make one")


class DeviceRunner(Protocol):
    """A network of one input in fixed shapes, between fixed addresses, in the order of one stream.

    For one thread, in which the device's context is current: `bind` once, then `enqueue` for every batch.
    """

    @property
    def input(self) -> Tensor:
        """No side of it is free; the first one is the batch."""
        ...

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """No side of them is free."""
        ...

    def bind(self, input_address: int, output_addresses: Sequence[int]) -> None:
        """Says where the batches lie, contiguous, of `Tensor.size_bytes`, for as long as this lives.

        Runs the network on whatever lies there, to allocate all that it needs and to record its graph, if
        it has one. What other threads may not do meanwhile, the runner says.

        Raises:
            OutOfMemoryError: no memory on the device.
            DeviceUnavailableError: the device fails, or its graph cannot be recorded.
            BadInputError: the network cannot be run.
        """
        ...

    def enqueue(self) -> None:
        """Runs it on what lies at the input, after all that was enqueued before; does not wait for it.

        Raises:
            DeviceUnavailableError: the device fails, perhaps in what was enqueued before.
            BadInputError: the network cannot be run.
        """
        ...


def check_tensors(name: str, found: Sequence[Tensor], declared: Sequence[Tensor]) -> None:
    """Of a network in fixed shapes: whether it is the one that the file declares.

    Raises:
        BadInputError: names ``name`` and what differs: a runtime that takes or gives another precision, or
            sides that stay free.
    """
    differing = [f"{a} instead of {b}" for a, b in zip(found, declared, strict=False) if not _is(a, b)]
    if len(found) != len(declared):
        differing.append(f"{len(found)} inputs and outputs instead of {len(declared)}")
    if differing:
        raise BadInputError(f"{name}: the runtime made another network of it ({'; '.join(differing)})")


def _is(found: Tensor, declared: Tensor) -> bool:
    """Same name and dtype, and every side that is declared; none free."""
    sides = zip(found.shape, declared.shape, strict=False)
    return (
        (found.name, found.dtype, len(found.shape)) == (declared.name, declared.dtype, len(declared.shape))
        and None not in found.shape
        and all(b in (None, a) for a, b in sides)
    )


def check_addresses(outputs: Sequence[Tensor], input_address: int, output_addresses: Sequence[int]) -> None:
    """Raises ValueError where an address is missing."""
    if len(output_addresses) != len(outputs) or not all((input_address, *output_addresses)):
        raise ValueError("an address for the input and one for each output, none of them 0")
