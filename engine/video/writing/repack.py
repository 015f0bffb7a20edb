"""The same samples in another layout: what an encoder takes instead of what a decoder gave.

An encoder knows nv12 as yuv420p and p010 as yuv420p10, and RGB by one layout only. Moving
samples changes none of them. Raising their depth is exact as well where the range is limited:
black and white lie at the same multiples of a power of two in every depth (ITU-T H.273, 8.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from ...frame import Frame, Plane
from ..planes import FLOAT_BITS, PIXEL_LAYOUTS, Component, planes_of
from ..scaler import scaled

_PLANAR_ALPHA = Component(3)
_LAST_ALPHA = Component(0, 3, 4)
_FIRST_ALPHA = Component(0, 0, 4)


def alpha_component(pix_fmt: str) -> Component | None:
    """Where the alpha samples of a pixel format lie, None where it has none."""
    if pix_fmt.startswith(("yuva", "gbra")):
        return _PLANAR_ALPHA
    if pix_fmt in {"rgba", "bgra", "rgba64le", "bgra64le"}:
        return _LAST_ALPHA
    return _FIRST_ALPHA if pix_fmt in {"argb", "abgr"} else None


def exact_format(pix_fmt: str, offered: Sequence[str], *, full_range: bool) -> str | None:
    """The first way to hand samples over without a change of what they say.

    Args:
        pix_fmt: of the samples; one of ``PIXEL_LAYOUTS``.
        offered: libav's names of the formats that an encoder takes; any where empty.
        full_range: of the samples.

    Returns:
        ``pix_fmt`` itself, else another layout of the same depth, else the least raised depth; or None.
    """
    if pix_fmt in offered or not offered:
        return pix_fmt
    # Each yuvj format has a yuv twin, and newer encoders want the range told apart from the format.
    names = sorted((name for name in offered if name in PIXEL_LAYOUTS), key=lambda name: "yuvj" in name)
    for name in sorted(names, key=lambda name: PIXEL_LAYOUTS[name].bits):
        if _same_shape(pix_fmt, name) and _depth_fits(pix_fmt, name, full_range):
            return name
    return None


def raises_depth(pix_fmt: str, other: str) -> bool:
    """Whether ``other`` holds the samples of ``pix_fmt`` multiplied by a power of two."""
    return PIXEL_LAYOUTS[pix_fmt].bits < PIXEL_LAYOUTS[other].bits


def repacked(frame: Frame, pix_fmt: str, other: str) -> av.VideoFrame:
    """A frame's samples, in the layout that `exact_format` found; the frame stays as it is.

    Args:
        frame: planes of ``pix_fmt``.
        pix_fmt: of the frame.
        other: of the result.
    """
    # libav's own conversion brings along field flags and side data, such as captions, that PyAV
    # cannot set; its samples are then replaced by the exact ones.
    if frame.source is None:
        picture = av.VideoFrame(frame.width, frame.height, other)
    else:
        picture = scaled(frame.source, format=other)
    old, new = PIXEL_LAYOUTS[pix_fmt], PIXEL_LAYOUTS[other]
    up = new.bits - old.bits + new.padding_bits
    for target, plane in zip(planes_of(picture), frame.planes, strict=True):
        _move(plane, target, old.padding_bits, up)
    alpha = None if frame.source is None else alpha_plane(frame.source)
    target_alpha = alpha_plane(picture)
    if alpha is not None and target_alpha is not None:
        _move(alpha, target_alpha, old.padding_bits, up)
    return picture


def _move(source: NDArray[Any], target: NDArray[Any], down: int, up: int) -> None:
    if down or up:
        np.left_shift(source >> down, up, out=target, dtype=target.dtype, casting="unsafe")
    else:
        np.copyto(target, source)


def _same_shape(pix_fmt: str, other: str) -> bool:
    old, new = PIXEL_LAYOUTS[pix_fmt], PIXEL_LAYOUTS[other]
    return (
        (old.chroma_shift_x, old.chroma_shift_y, old.rgb) == (new.chroma_shift_x, new.chroma_shift_y, new.rgb)
    ) and (alpha_component(pix_fmt) is None) == (alpha_component(other) is None)


def _depth_fits(pix_fmt: str, other: str, full_range: bool) -> bool:
    old, new = PIXEL_LAYOUTS[pix_fmt], PIXEL_LAYOUTS[other]
    if old.bits == new.bits:
        return True
    # Alpha is of full range always.
    exact = not full_range and alpha_component(pix_fmt) is None
    return exact and old.bits < new.bits < FLOAT_BITS


def alpha_plane(picture: av.VideoFrame) -> Plane | None:
    """View of the alpha samples of a frame, as large as its luma; None where it has none."""
    component = alpha_component(picture.format.name)
    if component is None:
        return None
    dtype = PIXEL_LAYOUTS[picture.format.name].dtype
    plane = picture.planes[component.plane]
    # PyAV's stubs do not declare the buffer protocol that its planes have.
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # type: ignore[call-overload]
    samples: Plane = rows[:, : plane.line_size - plane.line_size % dtype.itemsize].view(dtype)
    return samples[: picture.height, component.offset :: component.step][:, : picture.width]
