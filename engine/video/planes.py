"""NumPy views of the samples of a frame, for every pixel format that Crossface reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from ..frame import Plane

FLOAT_BITS = 32


@dataclass(frozen=True)
class Component:
    """Where the samples of one component lie.

    Attributes:
        plane: number of the plane in memory.
        offset: samples before the first one of a row.
        step: samples from a column to the next; 1 where the component has a plane of its own.
    """

    plane: int
    offset: int = 0
    step: int = 1


_PLANAR = (Component(0), Component(1), Component(2))


@dataclass(frozen=True)
class PixelLayout:
    """How one pixel format lies in memory.

    Attributes:
        bits: bits a sample: 8; 9 to 16 in two bytes, little-endian; 32 for floats.
        chroma_shift_x: log2 of the horizontal chroma subsampling.
        chroma_shift_y: log2 of the vertical chroma subsampling.
        components: of Y, Cb, Cr, or of G, B, R: ITU-T H.273 counts these as Y, Cb and Cr of matrix 0.
        rgb: True for G, B, R.
        padding_bits: zero bits below a sample in its word (6 for p010).
    """

    bits: int
    chroma_shift_x: int = 0
    chroma_shift_y: int = 0
    components: tuple[Component, Component, Component] = _PLANAR
    rgb: bool = False
    padding_bits: int = 0

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8 if self.bits == 8 else np.float32 if self.bits == FLOAT_BITS else "<u2")


def _packed(green: int, blue: int, red: int, step: int, bits: int) -> PixelLayout:
    components = (Component(0, green, step), Component(0, blue, step), Component(0, red, step))
    return PixelLayout(bits, components=components, rgb=True)


def _all_layouts() -> dict[str, PixelLayout]:
    layouts = {}
    depths = {"p": 8, **{f"p{bits}le": bits for bits in (9, 10, 12, 14, 16)}}
    for suffix, bits in depths.items():
        for alpha in ("", "a"):
            for kind, shifts in {"420": (1, 1), "422": (1, 0), "444": (0, 0)}.items():
                layouts[f"yuv{alpha}{kind}{suffix}"] = PixelLayout(bits, *shifts)
            layouts[f"gbr{alpha}{suffix}"] = PixelLayout(bits, rgb=True)
        if bits in (8, 10, 12):
            layouts[f"yuv440{suffix}"] = PixelLayout(bits, 0, 1)
    layouts |= {"yuv411p": PixelLayout(8, 2, 0), "yuv410p": PixelLayout(8, 2, 2)}
    layouts |= {f"gbr{alpha}pf32le": PixelLayout(FLOAT_BITS, rgb=True) for alpha in ("", "a")}
    jpeg = {"420": (1, 1), "422": (1, 0), "444": (0, 0), "440": (0, 1), "411": (2, 0)}
    layouts |= {f"yuvj{kind}p": PixelLayout(8, *shifts) for kind, shifts in jpeg.items()}

    pairs = (Component(0), Component(1, 0, 2), Component(1, 1, 2))
    swapped = (Component(0), Component(1, 1, 2), Component(1, 0, 2))
    layouts |= {
        "nv12": PixelLayout(8, 1, 1, pairs),
        "nv21": PixelLayout(8, 1, 1, swapped),
        "nv16": PixelLayout(8, 1, 0, pairs),
        "nv24": PixelLayout(8, 0, 0, pairs),
        "nv20le": PixelLayout(10, 1, 0, pairs),
    }
    for prefix, shifts in (("p0", (1, 1)), ("p2", (1, 0)), ("p4", (0, 0))):
        for bits in (10, 12, 16):
            layouts[f"{prefix}{bits}le"] = PixelLayout(bits, *shifts, pairs, padding_bits=16 - bits)

    layouts |= {
        "yuyv422": PixelLayout(8, 1, 0, (Component(0, 0, 2), Component(0, 1, 4), Component(0, 3, 4))),
        "yvyu422": PixelLayout(8, 1, 0, (Component(0, 0, 2), Component(0, 3, 4), Component(0, 1, 4))),
        "uyvy422": PixelLayout(8, 1, 0, (Component(0, 1, 2), Component(0, 0, 4), Component(0, 2, 4))),
        "rgb24": _packed(1, 2, 0, 3, 8),
        "bgr24": _packed(1, 0, 2, 3, 8),
        "rgb48le": _packed(1, 2, 0, 3, 16),
        "bgr48le": _packed(1, 0, 2, 3, 16),
        "rgba64le": _packed(1, 2, 0, 4, 16),
        "bgra64le": _packed(1, 0, 2, 4, 16),
    }
    for last in "a0":
        layouts[f"rgb{last}"] = _packed(1, 2, 0, 4, 8)
        layouts[f"bgr{last}"] = _packed(1, 0, 2, 4, 8)
        layouts[f"{last}rgb"] = _packed(2, 3, 1, 4, 8)
        layouts[f"{last}bgr"] = _packed(2, 1, 3, 4, 8)
    return layouts


# Alpha, where there is one, is neither read nor written: it goes with the frame.
PIXEL_LAYOUTS = _all_layouts()


def planes_of(picture: av.VideoFrame) -> tuple[Plane, Plane, Plane]:
    """Views of the samples of a frame in host memory, pitch cut off.

    Args:
        picture: a frame of one of the formats of ``PIXEL_LAYOUTS``.

    Returns:
        Y, Cb, Cr, or G, B, R: ``[height, width]`` views, uint8, uint16 or float32, writable if the frame
        is. Columns are more than a sample apart where components share a plane.
    """
    layout = PIXEL_LAYOUTS[picture.format.name]

    def view(component: Component, shift_x: int, shift_y: int) -> Plane:
        width, height = -(-picture.width >> shift_x), -(-picture.height >> shift_y)
        plane = picture.planes[component.plane]
        # PyAV's stubs do not declare the buffer protocol that its planes have.
        samples: NDArray[np.uint8] = np.frombuffer(plane, np.uint8)  # type: ignore[call-overload]
        rows = samples.reshape(-1, plane.line_size)
        if layout.dtype != np.uint8:
            rows = rows[:, : plane.line_size - plane.line_size % layout.dtype.itemsize].view(layout.dtype)
        columns = slice(component.offset, component.offset + component.step * width, component.step)
        return rows[:height, columns]

    luma, first, second = layout.components
    shifts = layout.chroma_shift_x, layout.chroma_shift_y
    return view(luma, 0, 0), view(first, *shifts), view(second, *shifts)
