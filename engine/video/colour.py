"""How the samples of a decoded frame are to be read: layout, matrix, range, siting.

Streams leave much unsaid. What is unspecified is decided here, in one place:

* matrix: BT.709 from 1280 columns or 720 rows upwards, BT.601 below;
* range: limited, except for RGB and the ``yuvj`` formats;
* chroma siting: the default of the stream's own standard (left for H.264,
  HEVC and MPEG-2, centre for JPEG and MPEG-1), which the decoder fills in.

The tags themselves are passed on to the output as they were found.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from ..errors import BadInputError
from ..frame import ColourDescription, Matrix, Siting, Transfer
from .planes import PIXEL_LAYOUTS, PixelLayout, planes_of
from .scaler import scaled

LIMITED_RANGE, FULL_RANGE = 1, 2

# 5 is BT.470BG and 6 SMPTE 170M: two names for the coefficients of BT.601.
_MATRICES = {1: Matrix.BT709, 5: Matrix.BT601, 6: Matrix.BT601, 9: Matrix.BT2020_NCL}
_TRANSFERS = {16: Transfer.PQ, 18: Transfer.HLG}
_UNSPECIFIED = 2
_SITING_CENTRES = {Siting.LEFT: (16.5, 17.0), Siting.CENTRE: (17.0, 17.0), Siting.TOP_LEFT: (16.5, 16.5)}


@dataclass(frozen=True)
class ColourTags:
    """The stream's colour tags, as code points of ITU-T H.273; 2 means unspecified.

    Attributes:
        primaries: ColourPrimaries.
        transfer: TransferCharacteristics.
        matrix: MatrixCoefficients.
        range: libav's code: 0 unspecified, 1 limited, 2 full.
    """

    primaries: int
    transfer: int
    matrix: int
    range: int


def tags_of(frame: av.VideoFrame) -> ColourTags:
    """Colour tags of a decoded frame (stream and container tags are merged by libav)."""
    return ColourTags(
        int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace), int(frame.color_range)
    )


def describe(frame: av.VideoFrame, path: Path) -> ColourDescription:
    """Decide how the samples of ``frame`` are to be read.

    Args:
        frame: a decoded frame; it is not changed.
        path: the file, for messages.

    Raises:
        BadInputError: a pixel format, matrix or siting that is not supported yet.
    """
    name = frame.format.name
    layout = PIXEL_LAYOUTS.get(name)
    if layout is None:
        raise BadInputError(
            f"{path}: pixel format {name} is not supported: convert the clip to YUV or RGB, "
            "for instance yuv420p, yuv422p10le or gbrp"
        )
    return ColourDescription(
        matrix=Matrix.RGB if layout.rgb else _matrix(frame, path),
        full_range=_full_range(frame, layout),
        siting=measure_siting(frame, path) if layout.chroma_shift_x or layout.chroma_shift_y else Siting.LEFT,
        bits=layout.bits,
        chroma_shift_x=layout.chroma_shift_x,
        chroma_shift_y=layout.chroma_shift_y,
        padding_bits=layout.padding_bits,
        transfer=_TRANSFERS.get(int(frame.color_trc), Transfer.SDR),
    )


def _full_range(frame: av.VideoFrame, layout: PixelLayout) -> bool:
    if layout.rgb and int(frame.color_range) != LIMITED_RANGE:
        return True
    return frame.format.name.startswith("yuvj") or int(frame.color_range) == FULL_RANGE


def _matrix(frame: av.VideoFrame, path: Path) -> Matrix:
    code = int(frame.colorspace)
    if code == _UNSPECIFIED:
        return Matrix.BT709 if frame.width >= 1280 or frame.height >= 720 else Matrix.BT601
    if code not in _MATRICES:
        raise BadInputError(
            f"{path}: colour matrix {code} (ITU-T H.273) is not supported yet: "
            "convert the clip to BT.601, BT.709 or BT.2020 non-constant luminance"
        )
    return _MATRICES[code]


def measure_siting(frame: av.VideoFrame, path: Path) -> Siting:
    """Find where chroma samples lie, as the stream says or its standard implies.

    PyAV does not show a frame's chroma location, but its scaler obeys it: one
    bright chroma sample, enlarged to 4:4:4, lands where the location says.

    Args:
        frame: a decoded frame with subsampled chroma; it is not changed.
        path: the file, for messages.
    """
    probe = scaled(frame, width=32, height=32, format="yuv420p")
    for plane in planes_of(probe):
        plane[:] = 128
    planes_of(probe)[1][8, 8] = 255
    enlarged = scaled(probe, format="yuv444p", interpolation="BILINEAR")
    weight = planes_of(enlarged)[1] - 128.0
    centres = np.arange(32) + 0.5
    # Chroma sample 8 covers luma 16 to 18: between them its centre is 17, co-sited with the first 16.5.
    column = float(weight.sum(0) @ centres / weight.sum())
    row = float(weight.sum(1) @ centres / weight.sum())
    if not PIXEL_LAYOUTS[frame.format.name].chroma_shift_y:
        # Streams say where chroma lies for 4:2:0 alone; elsewhere it is co-sited, but for JPEG's.
        column, row = column if frame.format.name.startswith("yuvj") else 16.5, 17.0
    for siting, (x, y) in _SITING_CENTRES.items():
        if abs(column - x) < 0.25 and abs(row - y) < 0.25:
            return siting
    raise BadInputError(
        f"{path}: chroma samples lie neither left, nor in the centre, nor top left: "
        "re-tag the clip as one of these"
    )
