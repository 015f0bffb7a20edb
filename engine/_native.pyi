"""Types of the C++ extension (kernels/bind.cpp). Use ``crossface.engine.kernels``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .frame import Plane

def isa_variants() -> list[str]:
    """Instruction sets that this build and this CPU share, the fastest last."""

class Colour:
    def __init__(
        self,
        matrix: int,
        full_range: bool,
        siting: int,
        bits: int,
        chroma_shift_x: int,
        chroma_shift_y: int,
        padding_bits: int,
        transfer: int,
    ) -> None: ...

class Kernels:
    """The kernels compiled for one instruction set; all variants give the same bits."""

    def __init__(self, isa: str) -> None: ...
    def resize(
        self,
        y: Plane,
        u: Plane,
        v: Plane,
        colour: Colour,
        scale_x: float,
        scale_y: float,
        out: NDArray[np.float32],
        threads: int,
    ) -> None: ...
    def crop(
        self,
        y: Plane,
        u: Plane,
        v: Plane,
        colour: Colour,
        matrices: NDArray[np.float64],
        out: NDArray[Any],
        threads: int,
    ) -> None: ...
    def stats(
        self,
        image: NDArray[np.float32],
        mask: NDArray[np.float32],
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        weight: NDArray[np.float64],
    ) -> None: ...
    def blend(
        self,
        y: Plane,
        u: Plane,
        v: Plane,
        colour: Colour,
        matrix: NDArray[np.float64],
        face: NDArray[np.float32],
        mask: NDArray[np.float32],
        transform: NDArray[np.float64],
        threads: int,
    ) -> tuple[int, int, int, int] | None: ...
    def fill(self, edges: NDArray[np.float32], out: NDArray[np.float32]) -> None: ...
    def soften(
        self, mask: NDArray[np.float32], taps: NDArray[np.float32], border_px: float, out: NDArray[np.float32]
    ) -> None: ...
