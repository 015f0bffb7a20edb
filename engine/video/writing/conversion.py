"""A conversion of samples that the user asked for: to another depth, other chroma, or between RGB and YUV."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from ...frame import LUMA_SHARES, Frame, Matrix, Plane
from ..colour import FULL_RANGE, LIMITED_RANGE, ColourTags
from ..info import VideoInfo
from ..planes import FLOAT_BITS, PIXEL_LAYOUTS, planes_of
from ..scaler import scaled
from .repack import alpha_plane, repacked

_BT2020_PRIMARIES = 9
_FLAGS = (
    Interpolation.LANCZOS
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.BITEXACT
)
# Between RGB and YUV every picture passes through this one; libav's scaler does the rest.
_BETWEEN = "yuv444p16le"


def output_tags(info: VideoInfo, pix_fmt: str) -> ColourTags:
    """The colour tags of a film in another pixel format; only a change between RGB and YUV changes them."""
    tags = info.tags
    full_range = FULL_RANGE if info.colour.full_range else tags.range
    if PIXEL_LAYOUTS[pix_fmt].rgb == PIXEL_LAYOUTS[info.pix_fmt].rgb:
        return ColourTags(tags.primaries, tags.transfer, tags.matrix, full_range)
    if PIXEL_LAYOUTS[pix_fmt].rgb:
        return ColourTags(tags.primaries, tags.transfer, Matrix.RGB, FULL_RANGE)
    matrix = Matrix.BT2020_NCL if tags.primaries == _BT2020_PRIMARIES else Matrix.BT709
    return ColourTags(tags.primaries, tags.transfer, matrix, LIMITED_RANGE)


def converted(frame: Frame, info: VideoInfo, pix_fmt: str) -> av.VideoFrame:
    """A frame in another pixel format; field flags and captions stay with it.

    Args:
        frame: of ``info``; it stays as it is.
        info: of the source.
        pix_fmt: of the result, whose tags are `output_tags`.
    """
    source = frame.source or repacked(frame, info.pix_fmt, info.pix_fmt)
    tags = output_tags(info, pix_fmt)
    old, new = PIXEL_LAYOUTS[info.pix_fmt], PIXEL_LAYOUTS[pix_fmt]
    if old.rgb == new.rgb:
        value_range = FULL_RANGE if info.colour.full_range else LIMITED_RANGE
        return _in_range(source, pix_fmt, value_range)
    if old.rgb:
        between = scaled(source, format=_BETWEEN)
        _to_yuv(planes_of(source), old.bits, planes_of(between), Matrix(tags.matrix))
        picture = _in_range(between, pix_fmt, LIMITED_RANGE)
    else:
        value_range = FULL_RANGE if info.colour.full_range else LIMITED_RANGE
        between = _in_range(source, _BETWEEN, value_range)
        picture = scaled(source, format=pix_fmt)
        _to_rgb(planes_of(between), planes_of(picture), new.bits, info.colour.matrix, info.colour.full_range)
    _copy_alpha(source, old.bits, picture, new.bits)
    return picture


def _in_range(picture: av.VideoFrame, pix_fmt: str, value_range: int) -> av.VideoFrame:
    return scaled(
        picture,
        format=pix_fmt,
        src_color_range=value_range,
        dst_color_range=value_range,
        interpolation=_FLAGS,
    )


def _peak(bits: int) -> float:
    return 1.0 if bits == FLOAT_BITS else float((1 << bits) - 1)


def _to_yuv(rgb: tuple[Plane, ...], bits: int, yuv: tuple[Plane, ...], matrix: Matrix) -> None:
    """G, B, R of full range to Y, Cb, Cr of 16 bits and limited range (ITU-T H.273, equations 20 to 30)."""
    red_weight, green_weight, blue_weight = LUMA_SHARES[matrix]
    green, blue, red = (plane.astype(np.float32) / np.float32(_peak(bits)) for plane in rgb)
    luma = red_weight * red + green_weight * green + blue_weight * blue
    _store(yuv[0], luma * (219 << 8) + (16 << 8), 65535)
    _store(yuv[1], (blue - luma) * ((224 << 8) / (2 - 2 * blue_weight)) + (128 << 8), 65535)
    _store(yuv[2], (red - luma) * ((224 << 8) / (2 - 2 * red_weight)) + (128 << 8), 65535)


def _to_rgb(
    yuv: tuple[Plane, ...], rgb: tuple[Plane, ...], bits: int, matrix: Matrix, full_range: bool
) -> None:
    red_weight, green_weight, blue_weight = LUMA_SHARES[matrix]
    black, luma_span, chroma_span = (0, 65535, 65535) if full_range else (16 << 8, 219 << 8, 224 << 8)
    luma = (yuv[0].astype(np.float32) - black) / luma_span
    blue = luma + (yuv[1].astype(np.float32) - (128 << 8)) / chroma_span * (2 - 2 * blue_weight)
    red = luma + (yuv[2].astype(np.float32) - (128 << 8)) / chroma_span * (2 - 2 * red_weight)
    green = (luma - red_weight * red - blue_weight * blue) / green_weight
    for plane, values in zip(rgb, (green, blue, red), strict=True):
        if bits == FLOAT_BITS:
            np.copyto(plane, values, casting="same_kind")
        else:
            _store(plane, values * _peak(bits), _peak(bits))


def _store(plane: Plane, values: NDArray[Any], peak: float) -> None:
    np.copyto(plane, np.clip(np.rint(values), 0, peak), casting="unsafe")


def _copy_alpha(source: av.VideoFrame, bits: int, picture: av.VideoFrame, new_bits: int) -> None:
    old, new = alpha_plane(source), alpha_plane(picture)
    if old is not None and new is not None:
        values = old.astype(np.float64) * (_peak(new_bits) / _peak(bits))
        np.copyto(new, values if new_bits == FLOAT_BITS else np.rint(values), casting="unsafe")
