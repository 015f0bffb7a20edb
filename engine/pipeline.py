"""Threads around stages that block, joined by bounded queues; errors and the end cross them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")

# Depth of a queue of whole frames, which are large: enough for the stages on both sides to run all the time.
FRAMES_BETWEEN_STAGES = 4


class _End:
    """Marks the end of a queue, and the error that caused it."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Prefetch(Generic[Item]):
    """Runs an iterable in a thread, at most ``depth`` items ahead of whoever takes them.

    A context manager: leaving it stops the thread, also in the middle. An
    error of the iterable is raised where the items are taken.
    """

    def __init__(self, source: Iterable[Item], *, depth: int) -> None:
        self._items: queue.Queue[Item | _End] = queue.Queue(depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(source,), name="prefetch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        while self._thread.is_alive():
            _drop_all(self._items)
            self._thread.join(timeout=0.01)

    def __iter__(self) -> Iterator[Item]:
        while True:
            item = self._items.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    def _run(self, source: Iterable[Item]) -> None:
        error: BaseException | None = None
        items = iter(source)
        try:
            for item in items:
                self._items.put(item)
                if self._stopped.is_set():
                    break
        except BaseException as raised:  # handed over to the taker, whatever it is
            error = raised
        finally:
            # What a generator holds open is closed here, before anybody closes what it reads from.
            if isinstance(items, Generator):
                items.close()
        self._items.put(_End(error))


class Drain(Generic[Item]):
    """Hands items to ``consume`` in a thread; ``put`` waits while ``depth`` items are under way.

    A context manager: leaving it without an error waits until all items are
    consumed. An error of ``consume`` is raised by the next ``put`` or on leaving.
    """

    def __init__(self, consume: Callable[[Item], None], *, depth: int) -> None:
        self._items: queue.Queue[Item | _End] = queue.Queue(depth)
        self._consume = consume
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="drain", daemon=True)

    def put(self, item: Item) -> None:
        if self._error is not None:
            raise self._error
        self._items.put(item)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._items.put(_End(None))
                self._thread.join()
        finally:
            # Also where a signal cut the waiting short: nobody may close what the thread still uses.
            if self._thread.is_alive():
                _drop_all(self._items)
                self._items.put(_End(None))
                self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        while not isinstance(item := self._items.get(), _End):
            if self._error is not None:
                continue  # emptying the queue, so that put never waits for a stage that has died
            try:
                self._consume(item)
            except BaseException as raised:  # handed over to the giver, whatever it is
                self._error = raised


def _drop_all(items: queue.Queue[Item | _End]) -> None:
    try:
        while True:
            items.get_nowait()
    except queue.Empty:
        return
