"""A network on a lane, between tensors of its own."""

from __future__ import annotations

from pathlib import Path

from .place import DeviceLane, Place, Shape
from .tensors import new_tensor


class BoundNetwork:
    """A network in one shape.

    Attributes:
        input: is filled by others.
        outputs: are there once `run` has had its turn, until its next one.

    Args:
        place: runs it.
        lane: in whose order.
        model: an ONNX file of float32 inputs and outputs.
        shape: of the input.

    Raises:
        BadInputError, DeviceUnavailableError, OutOfMemoryError: as `Place.runner` and `DeviceRunner.bind`.
    """

    def __init__(self, place: Place, lane: DeviceLane, model: Path, shape: Shape) -> None:
        runner = place.runner(model, shape, lane)
        self.input = new_tensor(lane, runner.input.fixed_shape, runner.input.dtype)
        self.outputs = tuple(new_tensor(lane, each.fixed_shape, each.dtype) for each in runner.outputs)
        runner.bind(self.input.address, [output.address for output in self.outputs])
        self.run = runner.enqueue
