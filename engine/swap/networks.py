"""Networks on their way: loaded in a thread, and kept for the next clip."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..file_state import file_state
from ..lifetime import Closeable
from .model import Swappers, load_swappers


class Networks(Closeable):
    """Loads networks in a thread, while a clip is looked at; keeps those that were loaded last."""

    def __init__(self) -> None:
        self._loader = ThreadPoolExecutor(1, "networks")
        self._loading: Future[Swappers] | None = None
        self._asked: Any = None

    def load(
        self, models: Mapping[str | None, Path], *, batch: int, threads: int, morph: float | None = None
    ) -> Future[Swappers]:
        """See `load_swappers`; what it raises comes with the result."""
        asked = (dict(models), [file_state(path) for path in models.values()], batch, threads, morph)
        if self._loading is None or asked != self._asked:
            self._asked = asked
            self._loading = self._loader.submit(
                load_swappers, models, batch=batch, threads=threads, morph=morph
            )
        return self._loading

    def close(self) -> None:
        self._loading = None
        self._loader.shutdown()
