"""What one conversion leaves to the next."""

from __future__ import annotations

from ..lifetime import Closeable
from ..swap.networks import Networks
from .workers import Workers


class Kept(Closeable):
    """Networks that are loaded, and processes that have them loaded.

    Attributes:
        networks: of this process.
    """

    def __init__(self) -> None:
        self.networks = Networks()
        self._workers: dict[int, Workers] = {}

    def workers(self, count: int) -> Workers:
        """So many processes."""
        if count not in self._workers:
            self._workers[count] = Workers(count)
        return self._workers[count]

    def close(self) -> None:
        self.networks.close()
        while self._workers:
            self._workers.popitem()[1].close()
