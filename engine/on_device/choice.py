"""Whether a job works on GPUs or on the CPU, and why: decided once, before its plan is made."""

from __future__ import annotations

import tempfile
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from ..device_choice import choose
from ..errors import BadInputError, ConfigurationError, DeviceUnavailableError, OutOfMemoryError
from ..probe.driver import CudaDevice
from ..probe.trial import TINY_NETWORK, TINY_SHAPE
from .cuda_place import RUNTIMES, CudaPlace
from .place import DeviceLane, Place
from .tensors import new_tensor

# A kernel that is in every build for GPUs.
_ANY_KERNEL = "crop_f32"


@dataclass(frozen=True)
class Chosen:
    """Where to work.

    Attributes:
        places: the first one works in this process, all of them where there are several workers; none is the
            CPU.
        reason: why there.
        told: what a user should know of it; more may come while places are at work.
    """

    places: tuple[Place, ...]
    reason: str
    told: deque[str] = field(default_factory=deque)

    @property
    def place(self) -> Place | None:
        return self.places[0] if self.places else None

    def news(self) -> list[str]:
        """What was told since it was asked for."""
        news = []
        while self.told:
            news.append(self.told.popleft())
        return news


CPU = Chosen((), "--device cpu")


def choose_places(asked: str | Place) -> Chosen:
    """Looks for GPUs that can do both passes; with ``auto`` the CPU takes the place of those that cannot.

    GPUs of another model than the first one's are left out: they would not give its bytes.

    Args:
        asked: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; see `device_choice.select`. Or a place itself.

    Raises:
        UsageError: something else.
        DeviceUnavailableError: a GPU was asked for by name, and cannot be used.
    """
    if not isinstance(asked, str):
        return Chosen((asked,), f"at {asked.name}")
    choice = choose(asked)
    if not choice.devices:
        return Chosen((), choice.reason)
    told: deque[str] = deque()
    first, *others = choice.devices
    try:
        places = [_tried(first, told)]
    except (ConfigurationError, DeviceUnavailableError, OutOfMemoryError) as error:
        reason = f"cuda:{first.index} ({first.name}) is not used: {error}"
        if asked != "auto":
            raise DeviceUnavailableError(f"--device {asked}: {reason}") from error
        return Chosen((), reason, deque([f"on the CPU, for {reason}"]))
    for other in others:
        if (other.name, other.capability) == (first.name, first.capability):
            places.append(CudaPlace(other, places[0].runtime, tell=told.append))
        else:
            told.append(
                f"cuda:{other.index} ({other.name}) is left out: it is another model than {first.name}"
            )
    return Chosen(tuple(places), choice.reason, told)


def _tried(device: CudaDevice, told: deque[str]) -> CudaPlace:
    """A device that runs kernels and networks, with the first runtime that does."""
    reasons = []
    for runtime in RUNTIMES:
        try:
            place = CudaPlace(device, runtime, tell=told.append)
        except DeviceUnavailableError as error:
            reasons.append(str(error))
            continue
        with place.lane() as lane:
            lane.load(_ANY_KERNEL)
            try:
                run_a_network(place, lane)
                return place
            except (BadInputError, DeviceUnavailableError) as error:
                reasons.append(str(error))
                # One that is installed is meant to be used.
                told.append(f"{place.name}: {place.networks} is not used: {error}")
    raise DeviceUnavailableError("; ".join(reasons))


def run_a_network(place: Place, lane: DeviceLane) -> None:
    """A convolution: for want of a library a runtime may fail only when it comes to one."""
    with tempfile.TemporaryDirectory(prefix="crossface-") as folder:
        model = Path(folder) / "tiny.onnx"
        model.write_bytes(TINY_NETWORK)
        runner = place.runner(model, TINY_SHAPE, lane)
        tensors = [new_tensor(lane, each.fixed_shape, each.dtype) for each in (runner.input, *runner.outputs)]
        runner.bind(tensors[0].address, [each.address for each in tensors[1:]])
        lane.synchronize()
