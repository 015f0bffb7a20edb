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

class _Device:
    """What launches need of the CUDA kernels (kernels/bind_device*.cpp); blocks are x, y, z.

    The kernels themselves are here too, under their names, run by the CPU for tests.
    """

    RESIZE_BLOCK: tuple[int, int, int]
    CROP_BLOCK: tuple[int, int, int]
    STATS_PARTS_BLOCK: tuple[int, int, int]
    STATS_TOTALS_BLOCK: tuple[int, int, int]
    BLEND_BLOCK: tuple[int, int, int]
    OUTLINE_BLOCK: tuple[int, int, int]
    SOFTEN_BLOCK: tuple[int, int, int]
    SOFTEN_AREAS_BLOCK: tuple[int, int, int]
    UNCOVER_BLOCK: tuple[int, int, int]
    VALUES_BLOCK: tuple[int, int, int]
    THUMBNAIL_BLOCK: tuple[int, int, int]
    AIM_BLOCK: tuple[int, int, int]
    FOLLOW_BLOCK: tuple[int, int, int]
    MESH_POINTS: int
    BLEND_HALO_PX: int
    BLEND_LUMA: int
    BLEND_CHROMA: int
    COLOUR_SUMS_BYTES: int
    TEXTURE_BLOCK: tuple[int, int, int]
    SKIN_BLOCK: tuple[int, int, int]
    NOISE_BLOCK: tuple[int, int, int]
    NOISE_TOTALS_BLOCK: tuple[int, int, int]
    NOISE_COUNTS_BYTES: int
    MARK_BLOCK: tuple[int, int, int]
    MARK_MEMORY_BYTES: int
    MOST_SHARPEN_RADIUS: int

    def pixel_format(self, colour: Colour) -> bytes: ...
    def curve(self, transfer: int) -> tuple[bytes, bytes, float, float, float] | None:
        """Tables to display and to signal, cells a display unit, where highlights begin and end to fade."""

    def blend_tiles(self, box_begin: int, box_end: int) -> int: ...
    def blend_launches(self, colour: Colour) -> int: ...
    def stats_parts(self, pixels: int) -> int: ...
    def values_parts(self, count: int) -> int: ...
    def noise_blocks(self, width: int) -> int: ...

device: _Device

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
    def mark(
        self,
        face: NDArray[np.float32],
        mask: NDArray[np.float32],
        luma: NDArray[np.float64],
        mark_to_face: NDArray[np.float64],
        chips: NDArray[np.int32],
        signs: NDArray[np.float32],
        out: NDArray[np.float32],
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
        grain: tuple[float, float, float, int],
        mark: tuple[NDArray[np.float32], NDArray[np.float64]] | None,
        threads: int,
    ) -> tuple[int, int, int, int] | None: ...
    def fill(self, edges: NDArray[np.float32], out: NDArray[np.float32]) -> None: ...
    def soften(
        self, mask: NDArray[np.float32], taps: NDArray[np.float32], border_px: float, out: NDArray[np.float32]
    ) -> None: ...
    def skin(
        self,
        drawn: NDArray[np.float32],
        source: NDArray[np.float32],
        mask: NDArray[np.float32],
        drawn_moments: tuple[NDArray[np.float64], NDArray[np.float64], float],
        source_moments: tuple[NDArray[np.float64], NDArray[np.float64], float],
        spread: float,
        row_step: int,
        out: NDArray[np.float32],
    ) -> None: ...
    def noise(
        self,
        y: Plane,
        u: Plane,
        v: Plane,
        colour: Colour,
        matrix: NDArray[np.float64],
        skin: NDArray[np.float32],
    ) -> tuple[float, float]: ...
    def detail(
        self, image: NDArray[np.float32], taps: NDArray[np.float32], out: NDArray[np.float32]
    ) -> None: ...
    def sharpen(
        self,
        image: NDArray[np.float32],
        taps: NDArray[np.float32],
        amount: float,
        out: NDArray[np.float32],
    ) -> None: ...
    def quantiles(
        self,
        image: NDArray[np.float32],
        mask: NDArray[np.float32],
        to_space: NDArray[np.float64],
        out: NDArray[np.float64],
    ) -> None: ...
    def recolour(
        self,
        image: NDArray[np.float32],
        to_space: NDArray[np.float64],
        from_space: NDArray[np.float64],
        curves: NDArray[np.float32],
        low: float,
        high: float,
        out: NDArray[np.float32],
    ) -> None: ...
    def uncover(self, map: NDArray[np.float32], mask: NDArray[np.float32]) -> None: ...
