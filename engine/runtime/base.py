"""What a network looks like to the rest of the engine, whatever runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32] | NDArray[np.float16]


@dataclass(frozen=True)
class Tensor:
    """Name, shape (None where it is free) and dtype of an input or output."""

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[np.float32] | np.dtype[np.float16]


class Runner(Protocol):
    """A network of one input, ready to run; safe to call from several threads."""

    @property
    def input(self) -> Tensor: ...

    @property
    def outputs(self) -> tuple[Tensor, ...]: ...

    def run(self, batch: Array) -> tuple[Array, ...]:
        """Runs a batch, ``[N, ...]`` of the input's dtype; gives the outputs in their order."""
        ...
