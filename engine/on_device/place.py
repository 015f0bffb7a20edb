"""Where the two passes work, where it is not the CPU: a device, and what runs there.

Both passes are written against `Place` and `DeviceLane`. `CudaPlace` is a GPU; the tests have a place whose
device is the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from ..device import DeviceBuffer, Event
from ..errors import unreadable
from ..file_state import file_sha256, file_state
from ..runtime.base import DeviceRunner
from .launcher import Launcher
from .nvdec import HardwareDecoder

Shape = tuple[int, ...]


class DeviceLane(Launcher, Protocol):
    """A lane with all that the passes ask of it; `device.Lane` documents it."""

    def copy(self, target: DeviceBuffer, source: DeviceBuffer) -> None: ...

    def follow(self, event: Event) -> None: ...

    def is_over(self, event: Event) -> bool: ...

    def synchronize(self, event: Event | None = None) -> None: ...


class Place(Protocol):
    """A device for any number of threads of this process, each with lanes of its own."""

    @property
    def name(self) -> str:
        """For reports, such as ``cuda:0 (NVIDIA H100)``."""
        ...

    @property
    def device(self) -> str | None:
        """For ``--device`` of another process; None where it belongs to this one."""
        ...

    @property
    def networks(self) -> str:
        """What runs networks here, for reports."""
        ...

    def lane(self) -> AbstractContextManager[DeviceLane]:
        """A queue of work, for the thread that opens, uses and closes it."""
        ...

    def attached(self) -> AbstractContextManager[object]:
        """Makes the device known to another thread, one that decodes or encodes."""
        ...

    def runner(self, model: Path, shape: Shape, lane: DeviceLane) -> DeviceRunner:
        """A network on that lane, not yet bound; raises as `TensorRtNetwork` or `BoundOnnxRunner`."""
        ...

    def decoder(self) -> HardwareDecoder | None:
        """For any `Reader`; None decodes on the CPU."""
        ...

    def fingerprint(self) -> dict[str, str]:
        """What of the place decides the bytes of a conversion, beside the CPU's own fingerprint."""
        ...

    def engine(self, model: Path, shape: Shape) -> str | None:
        """sha256 of what was built for a network, which another build would not repeat; None without one."""
        ...

    def with_engines(self, engines: Mapping[str, str]) -> Place:
        """The same place, where only these engines, by `engine_name`, will do for their networks."""
        ...


def engine_name(model: Path, shape: Shape) -> str:
    """Of a network in a shape, as plans name it: by its bytes, not by its path.

    Raises:
        InputMissingError: no such file, or not readable.
    """
    try:
        state = file_state(model)
    except OSError as error:
        raise unreadable(model, error) from error
    return f"{file_sha256(model, state)[:16]} {'x'.join(map(str, shape))}"
