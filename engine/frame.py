"""What the engine calls a frame: the decoder's own planes, a time, a colour description.

Frames are never turned into RGB. The kernels read and write ``Frame.planes``
directly; the same ``av.VideoFrame`` then goes to the encoder.

Coordinates everywhere in Crossface are continuous: the sample in column ``i``
covers ``[i, i + 1)`` and its centre lies at ``i + 0.5``. Scaling a picture is
then a plain multiplication of its coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]


class Matrix(IntEnum):
    """Luma coefficients of a YUV stream (ITU-T H.273, MatrixCoefficients); RGB has none."""

    RGB = 0
    BT709 = 1
    BT601 = 6
    BT2020_NCL = 9


# Shares of red, green and blue in luma (ITU-T H.273, table 4); where RGB is asked for its luma, BT.709's.
LUMA_SHARES: Mapping[Matrix, tuple[float, float, float]] = {
    Matrix.RGB: (0.2126, 0.7152, 0.0722),
    Matrix.BT709: (0.2126, 0.7152, 0.0722),
    Matrix.BT601: (0.299, 0.587, 0.114),
    Matrix.BT2020_NCL: (0.2627, 0.6780, 0.0593),
}


class Transfer(IntEnum):
    """How code values stand for light (ITU-T H.273, TransferCharacteristics), as far as kernels care.

    SDR stands for every transfer that a network can be shown as it is.
    """

    SDR = 1
    PQ = 16
    HLG = 18


class Siting(IntEnum):
    """Where chroma samples lie relative to luma (ITU-T H.273, ChromaLocType)."""

    LEFT = 1
    CENTRE = 2
    TOP_LEFT = 3


@dataclass(frozen=True)
class ColourDescription:
    """All that is needed to turn one Y'CbCr sample into R'G'B' and back.

    Attributes:
        matrix: luma coefficients.
        full_range: True for 0..2^bits-1, False for 16..235 (scaled to the depth).
        siting: chroma sample position; without meaning for 4:4:4.
        bits: bits a sample: 8 (uint8), 9 to 16 (uint16), or 32 for float32, where 0..1 is black to white.
        chroma_shift_x: log2 of the horizontal chroma subsampling (1 for 4:2:0 and 4:2:2).
        chroma_shift_y: log2 of the vertical chroma subsampling (1 for 4:2:0).
        padding_bits: zero bits below a sample in its word (6 for p010).
        transfer: curve between code values and what a network is shown.
    """

    matrix: Matrix
    full_range: bool
    siting: Siting
    bits: int
    chroma_shift_x: int
    chroma_shift_y: int
    padding_bits: int = 0
    transfer: Transfer = Transfer.SDR

    @property
    def sample_bytes(self) -> int:
        """Of a word that holds a sample."""
        return 4 if self.bits == 32 else 2 if self.bits > 8 else 1

    @property
    def white(self) -> float:
        """The greatest sample as it lies in memory; 1 for floats, which may go beyond it."""
        return 1.0 if self.bits == 32 else float(((1 << self.bits) - 1) << self.padding_bits)


@dataclass
class Timed:
    """The place of a frame in its film, wherever its samples lie.

    Attributes:
        index: 0-based position in presentation order.
        pts: presentation time in ``time_base`` units.
        duration: in ``time_base`` units; 0 where the container does not say.
        time_base: seconds a unit.
    """

    index: int
    pts: int
    duration: int
    time_base: Fraction


@dataclass
class Frame(Timed):
    """One decoded frame.

    Attributes:
        planes: Y, Cb, Cr, or G, B, R where ``colour.matrix`` is RGB, as ``[height, width]`` views of
            the decoder's buffers (pitch cut off, so rows are not contiguous). Where components share a
            plane (nv12, rgb24) their views have a column stride of more than one sample.
        colour: how to read the samples.
        source: the libav frame that owns the planes; None for a picture of an image sequence.
        row_offset: added to a row coordinate, gives its place in a picture of this height; a quarter up or
            down for the fields of an interlaced frame, so that faces in both share one set of coordinates.
        whole: the frame that this is a field of.
        picture: what an image sequence keeps of its file; None for a film.
    """

    planes: tuple[Plane, Plane, Plane]
    colour: ColourDescription
    source: av.VideoFrame | None
    row_offset: float = 0.0
    whole: Frame | None = None
    picture: object | None = None

    @property
    def width(self) -> int:
        return int(self.planes[0].shape[1])

    @property
    def height(self) -> int:
        return int(self.planes[0].shape[0])
