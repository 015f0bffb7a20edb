"""What one conversion leaves to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from ..lifetime import Closeable
from ..on_device.choice import Chosen, choose_places
from ..on_device.place import Place
from ..on_device.workbench import Workbench
from ..swap.networks import Networks
from .workers import Workers


class Kept(Closeable):
    """Networks that are loaded, and processes that have them loaded.

    For one thread, where it has lanes on devices.

    Attributes:
        networks: of this process, on the CPU.
    """

    def __init__(self) -> None:
        self.networks = Networks()
        self._workers: dict[tuple[int, tuple[str, ...]], Workers] = {}
        self._chosen: dict[str, Chosen] = {}
        self._bench: tuple[str, Mapping[str, str], Workbench] | None = None
        self._lane = ExitStack()

    def choose(self, device: str | Place) -> Chosen:
        """See `choose_places`, which is asked once."""
        if not isinstance(device, str):
            return choose_places(device)
        if device not in self._chosen:
            self._chosen[device] = choose_places(device)
        return self._chosen[device]

    def bench(self, place: Place | None, engines: Mapping[str, str]) -> Workbench | None:
        """The lane of this thread at a place; None for the CPU.

        Args:
            place: where to.
            engines: that a plan names, of `Place.with_engines`.

        Raises:
            CrossfaceError: as `Place.lane`.
        """
        if place is None:
            return None
        if self._bench is None or self._bench[:2] != (place.name, engines):
            self._bench = None
            self._lane.close()
            pinned = place.with_engines(engines)
            self._bench = place.name, engines, Workbench(pinned, self._lane.enter_context(pinned.lane()))
        return self._bench[2]

    def workers(self, count: int, devices: Sequence[str] = ()) -> Workers:
        """So many processes, dealt out to devices; without any they work on the CPU."""
        key = count, tuple(devices)
        if key not in self._workers:
            self._workers[key] = Workers(count, devices)
        return self._workers[key]

    def close(self) -> None:
        self._bench = None
        self._lane.close()
        self.networks.close()
        while self._workers:
            self._workers.popitem()[1].close()
