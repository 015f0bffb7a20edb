"""The faces of the next steps, gathered while the step before them is computed."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch

from ..engine.lifetime import Closeable
from .store import Faces, FaceStore
from .world import World

AHEAD_STEPS = 2


class Loader(Closeable):
    """Gathers the faces of both people for one step after the other, ahead of time on a thread.

    What a step gets follows from (seed, step) alone: steps may be asked for
    in any order, and are quick where they follow each other. A context manager.

    Args:
        stores: of person A and B.
        count: faces of each in a step.
        seed: of the run.
        streams: of random numbers for the order of each person's faces.
        world: where the faces are wanted, and by which of the processes that share them out.

    Attributes:
        waited_s: how long the last `take` took, which is how long the step had to wait.
    """

    def __init__(
        self,
        stores: tuple[FaceStore, FaceStore],
        count: int,
        seed: int,
        streams: tuple[int, int],
        world: World,
    ) -> None:
        self._sources = tuple(zip(stores, streams, strict=True))
        self._count = count
        self._seed = seed
        self._world = world
        self._pool = ThreadPoolExecutor(1, "loader")
        self._futures: dict[int, Future[list[Faces]]] = {}
        self.waited_s = 0.0

    def take(self, step: int) -> list[Faces]:
        """Both people's faces, ``count`` each, on the device."""
        started = time.monotonic()
        wanted = range(step, step + 1 + AHEAD_STEPS)
        self._futures = {
            each: self._futures.get(each) or self._pool.submit(self._gathered, each) for each in wanted
        }
        faces = self._futures.pop(step).result()
        self.waited_s = time.monotonic() - started
        return faces

    def _gathered(self, step: int) -> list[Faces]:
        return [self._on_device(store, step, stream) for store, stream in self._sources]

    def _on_device(self, store: FaceStore, step: int, stream: int) -> Faces:
        rank, size, device = self._world.rank, self._world.size, self._world.device
        of_all = store.chosen(step, size * self._count, self._seed, stream)
        pixels, points = store.faces(of_all[rank * self._count :][: self._count])
        if pixels.device.type != device.type:
            # Only from pinned memory does a copy run beside what the device computes.
            pixels = pixels.pin_memory().to(device, non_blocking=True)
        if points is not None:
            points = points.to(device, pinned=device.type == "cuda")
        return Faces(pixels, points)

    def close(self) -> None:
        """Ends the thread; safe to call twice."""
        self._pool.shutdown(cancel_futures=True)


class DeviceTime:
    """How long the device needs for what a ``with`` block asks of it.

    A GPU is only told what to do there: it marks both ends in its own time.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._marks: list[torch.cuda.Event] = []
        self._times_s: list[float] = []

    def __enter__(self) -> DeviceTime:
        self._mark()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mark()

    def seconds(self) -> float:
        """Waits for the device to come so far."""
        if not self._on_gpu:
            return self._times_s[1] - self._times_s[0]
        self._marks[1].synchronize()
        return float(self._marks[0].elapsed_time(self._marks[1])) / 1000

    def _mark(self) -> None:
        if self._on_gpu:
            mark = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            mark.record()
            self._marks.append(mark)
        else:
            self._times_s.append(time.monotonic())
