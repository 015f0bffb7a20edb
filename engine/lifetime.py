"""What is open until the end of a ``with`` block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closeable(ABC):
    """Is closed at the end of its block, whatever happens there."""

    @abstractmethod
    def close(self) -> None:
        """Free what it holds; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Output(Closeable):
    """Is finished by ``close`` at the end of its block, and abandoned where an exception ends that."""

    @abstractmethod
    def abandon(self) -> None:
        """Give it up: nothing of it stays; safe to call twice."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abandon()
