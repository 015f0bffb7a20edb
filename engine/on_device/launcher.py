"""What the CUDA kernels' host side needs of a lane; `device.Lane` has it, and the tests run it on the CPU."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import DTypeLike, NDArray

from ..device import DeviceBuffer, Event

Dimensions = tuple[int, int, int]


class Launcher(Protocol):
    """One thread's work for a device, done in the order in which it is given, while the thread goes on."""

    def device_buffer(self, bytes: int) -> DeviceBuffer:
        """Memory of the device, for as long as the lane."""

    def pinned(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Memory of the host that the device reaches by itself, for as long as the lane."""

    def upload(self, buffer: DeviceBuffer, array: NDArray[Any]) -> None:
        """Starts a copy of pinned memory, which must not change until it is done."""

    def download(self, array: NDArray[Any], buffer: DeviceBuffer) -> None:
        """Starts a copy to pinned memory, which holds it when it is done."""

    def launch(self, name: str, grid: Dimensions, block: Dimensions, *arguments: float) -> None:
        """Starts a kernel of kernels/*.cu."""

    def record(self) -> Event:
        """The end of the work given so far."""

    def synchronize(self, event: Event) -> None:
        """Returns when the device has come to that point."""
