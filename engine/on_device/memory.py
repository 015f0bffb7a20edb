"""What lies in the memory of a GPU: the planes of frames, and the tensors of networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..frame import ColourDescription
from ..video.planes import PIXEL_LAYOUTS

_LONGEST_SIDE_PX = 65536


class DevicePlane(NamedTuple):
    """The samples of one component.

    Attributes:
        address: of the first sample.
        pitch_bytes: from a row to the next; negative for a picture stored upside down.
        step: samples from a column to the next; 2 for the chroma of nv12.
        width: in samples.
        height: in samples.
    """

    address: int
    pitch_bytes: int
    step: int
    width: int
    height: int


@dataclass(frozen=True)
class DeviceFrame:
    """A frame as kernels on a device read and write it.

    Attributes:
        planes: Y, Cb, Cr, or G, B, R where ``colour.matrix`` is RGB.
        colour: how to read the samples.
        row_offset: as of `Frame`.

    Raises:
        ValueError: planes that do not fit the colour description, or samples across word boundaries.
    """

    planes: tuple[DevicePlane, DevicePlane, DevicePlane]
    colour: ColourDescription
    row_offset: float = 0.0

    def __post_init__(self) -> None:
        luma, colour = self.planes[0], self.colour
        if not (1 <= luma.width <= _LONGEST_SIDE_PX and 1 <= luma.height <= _LONGEST_SIDE_PX):
            raise ValueError(f"planes: width and height must be 1 to {_LONGEST_SIDE_PX}")
        chroma = -(-luma.width >> colour.chroma_shift_x), -(-luma.height >> colour.chroma_shift_y)
        sample_bytes = colour.sample_bytes
        for plane in self.planes:
            if plane is not luma and (plane.width, plane.height) != chroma:
                raise ValueError(
                    "planes: chroma must have the luma's size divided by the subsampling, rounded up"
                )
            # A device stops for good at a word that it cannot read in one piece.
            if plane.address <= 0 or plane.address % sample_bytes or plane.pitch_bytes % sample_bytes:
                raise ValueError(f"planes: address and pitch must be multiples of {sample_bytes} bytes")
            if plane.step < 1 or abs(plane.pitch_bytes) < ((plane.width - 1) * plane.step + 1) * sample_bytes:
                raise ValueError("planes: rows must not overlap, and columns must run forward")

    @property
    def width(self) -> int:
        return self.planes[0].width

    @property
    def height(self) -> int:
        return self.planes[0].height

    @classmethod
    def in_memory(
        cls,
        pixel_format: str,
        size_px: tuple[int, int],
        addresses: Sequence[int],
        pitches_bytes: Sequence[int],
        colour: ColourDescription,
        row_offset: float = 0.0,
    ) -> DeviceFrame:
        """A frame of one of the formats of ``PIXEL_LAYOUTS``.

        Args:
            pixel_format: libav's name, for instance nv12 or p010le.
            size_px: width and height of the picture.
            addresses: of the planes as they lie in memory: two for nv12.
            pitches_bytes: of the same planes.
            colour: how to read the samples.
            row_offset: as of `Frame`.

        Raises:
            ValueError: a colour description of other samples than the format's; or as the class.
        """
        layout = PIXEL_LAYOUTS[pixel_format]
        chroma_shifts = layout.chroma_shift_x, layout.chroma_shift_y
        stored = layout.bits, layout.padding_bits, *chroma_shifts
        if stored != (colour.bits, colour.padding_bits, colour.chroma_shift_x, colour.chroma_shift_y):
            raise ValueError(f"{pixel_format}: its samples are not those that {colour} describes")
        planes = []
        for component, shifts in zip(layout.components, ((0, 0), chroma_shifts, chroma_shifts), strict=True):
            width, height = (-(-length >> shift) for length, shift in zip(size_px, shifts, strict=True))
            address = addresses[component.plane] + component.offset * layout.dtype.itemsize
            pitch_bytes = pitches_bytes[component.plane]
            planes.append(DevicePlane(address, pitch_bytes, component.step, width, height))
        return cls((planes[0], planes[1], planes[2]), colour, row_offset)


def decimated(frame: DeviceFrame, k: int) -> DeviceFrame:
    """Every k-th row and column of a frame, from the first on; the samples stay where they are.

    Raises:
        ValueError: ``k`` is below 1, or above a side of a plane.
    """
    if not 1 <= k <= min(min(plane.width, plane.height) for plane in frame.planes):
        raise ValueError(f"k: must be 1 to the shortest side of a plane, not {k}")
    first, second, third = (
        plane._replace(
            pitch_bytes=plane.pitch_bytes * k,
            step=plane.step * k,
            width=-(-plane.width // k),
            height=-(-plane.height // k),
        )
        for plane in frame.planes
    )
    return replace(frame, planes=(first, second, third), row_offset=frame.row_offset / k)


@dataclass(frozen=True)
class DeviceTensor:
    """C-contiguous numbers, for instance a batch of faces.

    Attributes:
        address: of the first number.
        shape: as of a NumPy array.
        dtype: as of a NumPy array.
    """

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def part(self, first: int, count: int) -> DeviceTensor:
        """``count`` items, from ``first`` on.

        Raises:
            ValueError: it has not so many.
        """
        if not (first >= 0 and count >= 0 and first + count <= self.shape[0]):
            raise ValueError(f"part: {count} items from {first} on are not within {self.shape}")
        before = replace(self, shape=(first, *self.shape[1:]))
        return replace(self, address=self.address + before.bytes, shape=(count, *self.shape[1:]))
