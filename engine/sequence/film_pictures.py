"""A film's frame, or any other, as one RGB picture of an image format."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..frame import Frame, Matrix, Transfer
from .display_curves import SceneLinear, srgb_to_linear
from .picture import FLOAT_BITS


def rgb_of(frame: Frame) -> NDArray[np.float32]:
    """R'G'B' of a frame as its codes say: float32 ``[height, width, 3]``, 0..1 from black to white.

    Matrix, range and siting as described; chroma is interpolated linearly. PQ and HLG stay what they are.
    """
    colour = replace(frame.colour, transfer=Transfer.SDR)
    if colour.matrix is Matrix.RGB and colour.full_range:
        white = np.float32(colour.white)
        return np.stack([frame.planes[n].astype(np.float32) / white for n in (2, 0, 1)], axis=-1)
    rgb, _ = kernels.resize(replace(frame, colour=colour), frame.width, frame.height)
    return np.ascontiguousarray(rgb.transpose(1, 2, 0))


def bits_of_new(kind: str, bits: int) -> int:
    """Bits a sample of a new picture, from those of the frame: as many, or the next that the format has."""
    if kind == "openexr":
        return FLOAT_BITS
    if kind == "dpx":
        return 10 if bits <= 10 else 12 if bits == 12 else 16
    return 8 if bits == 8 else 16


def samples_of(frame: Frame, bits: int) -> NDArray[Any]:
    """A frame's samples as a new picture stores them: ``[height, width, 3]``.

    Integers are display-referred, 0..1 scaled and rounded; RGB codes of the same depth stay as they are.
    Floats (half) are scene-linear: by the inverse of its display curve where a frame came from light, else by
    that of sRGB.

    Args:
        frame: any.
        bits: of the result; 32 for half.
    """
    exact = frame.colour.matrix is Matrix.RGB and frame.colour.full_range and not frame.colour.padding_bits
    if exact and frame.colour.bits == bits != FLOAT_BITS:
        return np.stack([frame.planes[n] for n in (2, 0, 1)], axis=-1)
    rgb = rgb_of(frame)
    if bits == FLOAT_BITS:
        if frame.colour.bits == FLOAT_BITS:
            rgb = SceneLinear().from_display(rgb)
        else:
            rgb = srgb_to_linear(np.clip(rgb, 0.0, 1.0))
        return np.clip(rgb, -65504.0, 65504.0).astype(np.float16)
    codes: NDArray[np.float32] = np.rint(np.clip(rgb, 0.0, 1.0) * np.float32((1 << bits) - 1))
    return codes.astype(np.uint8 if bits == 8 else np.uint16)
