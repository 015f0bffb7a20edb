"""NumPy views of the samples of a frame, for every pixel format that Crossface reads."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from ..frame import Plane


@dataclass(frozen=True)
class PixelLayout:
    """How one pixel format lies in memory.

    Attributes:
        bits: bits a sample; above 8 a sample takes two bytes, little-endian.
        chroma_shift_x: log2 of the horizontal chroma subsampling.
        chroma_shift_y: log2 of the vertical chroma subsampling.
        interleaved_chroma: True where U and V share one plane (nv12).
    """

    bits: int
    chroma_shift_x: int
    chroma_shift_y: int
    interleaved_chroma: bool = False


PIXEL_LAYOUTS: dict[str, PixelLayout] = {
    f"yuv{kind}{suffix}": PixelLayout(bits, shift_x, shift_y)
    for kind, shift_x, shift_y in (("420", 1, 1), ("422", 1, 0), ("444", 0, 0))
    for suffix, bits in (("p", 8), ("p10le", 10), ("p12le", 12))
} | {
    "yuvj420p": PixelLayout(8, 1, 1),
    "yuvj422p": PixelLayout(8, 1, 0),
    "yuvj444p": PixelLayout(8, 0, 0),
    "nv12": PixelLayout(8, 1, 1, interleaved_chroma=True),
}


def planes_of(picture: av.VideoFrame) -> tuple[Plane, Plane, Plane]:
    """Views of the Y, U and V samples of a frame in host memory, pitch cut off.

    Args:
        picture: a frame of one of the formats of ``PIXEL_LAYOUTS``.

    Returns:
        ``[height, width]`` views, uint8 or uint16, writable if the frame is.
    """
    layout = PIXEL_LAYOUTS[picture.format.name]
    chroma_width = -(-picture.width >> layout.chroma_shift_x)
    chroma_height = -(-picture.height >> layout.chroma_shift_y)

    def view(number: int, width: int, height: int) -> Plane:
        plane = picture.planes[number]
        # PyAV's stubs do not declare the buffer protocol that its planes have.
        samples: NDArray[np.uint8] = np.frombuffer(plane, np.uint8)  # type: ignore[call-overload]
        rows = samples.reshape(-1, plane.line_size)
        return (rows if layout.bits == 8 else rows.view(np.uint16))[:height, :width]

    luma = view(0, picture.width, picture.height)
    if layout.interleaved_chroma:
        pairs = view(1, 2 * chroma_width, chroma_height)
        return luma, pairs[:, 0::2], pairs[:, 1::2]
    return luma, view(1, chroma_width, chroma_height), view(2, chroma_width, chroma_height)
