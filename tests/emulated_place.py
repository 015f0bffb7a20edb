"""A place whose device is this CPU: all runs in the order of its lanes, when somebody waits."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from emulated_lane import EmulatedLane

from crossface.engine.on_device.place import DeviceLane, Place, Shape
from crossface.engine.runtime.base import DeviceRunner, Tensor
from crossface.engine.runtime.onnx_bound import BoundOnnxRunner


class EmulatedPlace(Place):
    """See the module.

    Attributes:
        lanes: all that were opened.
        engines: that a plan has named.
        attached_threads: how many threads were attached.
        asked: networks that ran here, by the names of their files, and their shapes.
    """

    name = "emulated"
    device = None
    networks = "ONNX Runtime on the CPU"

    def __init__(self) -> None:
        self.lanes: list[EmulatedLane] = []
        self.engines: dict[str, str] = {}
        self.attached_threads = 0
        self.asked: set[tuple[str, Shape]] = set()

    @contextmanager
    def lane(self) -> Iterator[EmulatedLane]:
        lane = EmulatedLane()
        opener = threading.get_ident()
        self.lanes.append(lane)
        try:
            yield lane
        finally:
            assert threading.get_ident() == opener, "a lane is closed by the thread that opened it"
            lane.close()

    @contextmanager
    def attached(self) -> Iterator[None]:
        self.attached_threads += 1
        yield

    def runner(self, model: Path, shape: Shape, lane: DeviceLane) -> DeviceRunner:
        assert isinstance(lane, EmulatedLane)
        self.asked.add((model.name, shape))
        return _QueuedRunner(BoundOnnxRunner(model, shape, stream=None), lane)

    def decoder(self) -> None:
        return None

    def fingerprint(self) -> dict[str, str]:
        return {"gpu": self.name}

    def engine(self, model: Path, shape: Shape) -> str:
        """A network's own name stands for what would be built of it."""
        return model.name

    def with_engines(self, engines: Mapping[str, str]) -> EmulatedPlace:
        self.engines = dict(engines)
        return self


class _QueuedRunner:
    """Runs a network in the lane's turn.

    Attributes:
        spoilt: bytes at the beginning of the first output that become 0xFF after each run: no number.
    """

    def __init__(self, runner: BoundOnnxRunner, lane: EmulatedLane) -> None:
        self.spoilt = 0
        self._runner, self._lane = runner, lane
        self._first_output = 0

    @property
    def input(self) -> Tensor:
        return self._runner.input

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return self._runner.outputs

    def bind(self, input_address: int, output_addresses: Sequence[int]) -> None:
        # It runs the network at once, on whatever lies there, over whatever lies at its outputs.
        self._lane.synchronize()
        self._runner.bind(input_address, output_addresses)
        self._first_output = output_addresses[0]

    def enqueue(self) -> None:
        self._lane.enqueue(self._runner.enqueue)
        self._lane.enqueue(lambda: ctypes.memset(self._first_output, 0xFF, self.spoilt))
