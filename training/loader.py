"""The faces of the next steps, gathered while the step before them is computed."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch
from torch import Tensor

from ..engine.lifetime import Closeable
from .pairs import doing, nearest
from .store import Faces, FaceStore
from .world import World

AHEAD_STEPS = 2
# Among so many faces of B's the one is looked for that does what one of A's does: with all of them to choose
# from, those would never be seen that A has no like of.
CANDIDATES = 32


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
        paired: choose B's faces so that each does what A's face in the same place does.

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
        *,
        paired: bool = False,
    ) -> None:
        self._stores = stores
        self._streams = streams
        self._doing = tuple(_doing(store) for store in stores) if paired else None
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
        count, rank = self._count, self._world.rank
        of_all_a, of_all_b = self._chosen(step, count * self._world.size)
        own = slice(rank * count, (rank + 1) * count)
        return [
            self._on_device(store, index[own])
            for store, index in zip(self._stores, (of_all_a, of_all_b), strict=True)
        ]

    def _chosen(self, step: int, count: int) -> tuple[Tensor, Tensor]:
        (store_a, store_b), (stream_a, stream_b) = self._stores, self._streams
        of_a = store_a.chosen(step, count, self._seed, stream_a)
        if self._doing is None:
            return of_a, store_b.chosen(step, count, self._seed, stream_b)
        doing_a, doing_b = self._doing
        candidates = store_b.chosen(step, count * CANDIDATES, self._seed, stream_b).reshape(count, -1)
        best = [nearest(doing_a[of_a[[n]]], doing_b[candidates[n]])[0] for n in range(count)]
        return of_a, candidates[torch.arange(count), torch.stack(best)]

    def _on_device(self, store: FaceStore, index: Tensor) -> Faces:
        device = self._world.device
        pixels, points = store.faces(index)
        if pixels.device.type != device.type:
            # Only from pinned memory does a copy run beside what the device computes.
            pixels = pixels.pin_memory().to(device, non_blocking=True)
        if points is not None:
            points = points.to(device, pinned=device.type == "cuda")
        return Faces(pixels, points)

    def close(self) -> None:
        """Ends the thread; safe to call twice."""
        self._pool.shutdown(cancel_futures=True)


def _doing(store: FaceStore) -> Tensor:
    if store.points is None:
        raise ValueError("only faces whose points are known can be paired")
    return doing(store.points)


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
