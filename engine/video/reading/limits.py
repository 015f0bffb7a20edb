"""Limits for media that nobody vouches for: pixels, memory, processor time, and patience."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from ...errors import BadInputError, BusyError
from ...file_state import FileState, file_state
from ...interpreter import interpreter
from .trial import OUT_OF_MEMORY

Item = TypeVar("Item")

# 16384 x 8192: what is larger is no film.
MAX_PIXELS = 1 << 27
PATIENCE_S = 60.0
_MEMORY_BYTES = 4 << 30
_CPU_S = 30
_TRIAL_PICTURES = 4


def try_out(path: Path, url: str, options: dict[str, str], patience_s: float = PATIENCE_S) -> str | None:
    """Let a process of its own open a file and decode its first pictures.

    A file that crashes, fills or hangs that process never comes near this one. What
    passed once is not tried again, unless it has changed.

    Args:
        path: the file.
        url: how libav is to open it.
        options: for libav, ``max_pixels`` among them.
        patience_s: wall time that the trial may take.

    Returns:
        None, or why nothing could be tried.

    Raises:
        BadInputError: the file crashes the decoder, or needs too much memory or time.
    """
    python = interpreter()
    if python is None:
        return "its decoding could not be tried in a process of its own: no Python interpreter was found"
    code, complaint = _verdict(python, url, tuple(sorted(options.items())), patience_s, file_state(path))
    if complaint is not None:
        raise BadInputError(
            f"{path}: {complaint}: do not open it elsewhere, get the clip from its source again"
        )
    return None if code == 0 else "its decoding could not be tried: a process for it does not start"


@functools.lru_cache(maxsize=256)
def _verdict(
    python: str,
    url: str,
    options: tuple[tuple[str, str], ...],
    patience_s: float,
    state: FileState,
) -> tuple[int, str | None]:
    """How the trial ended, and what is wrong with the file; ``state`` makes a changed file another key."""
    order = {
        "url": url,
        "options": dict(options),
        "pictures": _TRIAL_PICTURES,
        "memory_bytes": _memory_bytes(),
        "cpu_s": _CPU_S,
        "path": sys.path,
    }
    script = Path(__file__).with_name("trial.py")
    try:
        # -I: no file beside the script or the clip is taken for a module. -S: sys.path comes along.
        done = subprocess.run(
            [python, "-I", "-S", str(script), json.dumps(order)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=patience_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 0, f"the decoder does not come to its first pictures within {patience_s:g} s"
    complaint = None
    if done.returncode == OUT_OF_MEMORY:
        complaint = f"needs more than {_memory_bytes() >> 20} MiB for its first pictures"
    elif done.returncode < 0:
        complaint = f"stops the decoder at its first pictures (signal {-done.returncode})"
    return done.returncode, complaint


def _memory_bytes() -> int:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(_MEMORY_BYTES, physical * 3 // 4)


class Impatient(Generic[Item]):
    """Runs an iterable in a thread, and gives up on it when nothing comes for too long.

    A decoder that hangs cannot be interrupted, only left behind: its thread then ends with the process.

    Args:
        source: what to iterate over; nobody else may touch it until `close`.
        patience_s: how long to wait for an item.
        path: the file, for messages.
    """

    def __init__(self, source: Iterable[Item], patience_s: float, path: Path) -> None:
        self._source = source
        self._patience_s = patience_s
        self._path = path
        # One item waits here and one in the thread: a frame takes its decoder's memory.
        self._items: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(1)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"decode {path.name}", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        if self._stopped.is_set():
            raise StopIteration
        try:
            item = self._items.get(timeout=self._patience_s)
        except queue.Empty:
            raise BusyError(
                f"{self._path}: no picture came for {self._patience_s:g} s: "
                "the disk or the decoder hangs; try again, or convert the clip first"
            ) from None
        if isinstance(item, tuple):
            return item[0]
        self._stopped.set()
        if item is not None:
            raise item
        raise StopIteration

    def close(self) -> bool:
        """Stop the thread; True if it did."""
        self._stopped.set()
        deadline_s = time.monotonic() + self._patience_s
        while self._thread.is_alive() and time.monotonic() < deadline_s:
            with contextlib.suppress(queue.Empty):
                while True:
                    self._items.get_nowait()
            self._thread.join(timeout=0.01)
        return not self._thread.is_alive()

    def _run(self) -> None:
        end: BaseException | None = None
        try:
            for item in self._source:
                self._items.put((item,))
                if self._stopped.is_set():
                    return
        except BaseException as raised:  # handed over to the taker, whatever it is
            end = raised
        if not self._stopped.is_set():
            self._items.put(end)
