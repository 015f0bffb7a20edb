"""Pictures whose samples have their high byte first, in the order that everything else here reads."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from ..planes import PIXEL_LAYOUTS
from ..scaler import scaled


def little_endian(picture: av.VideoFrame) -> av.VideoFrame:
    """The same picture with its low bytes first; itself where it is so already or is not known.

    Args:
        picture: a decoded frame; it is not changed.
    """
    name = picture.format.name
    twin = name.removesuffix("be") + "le"
    if not name.endswith("be") or twin not in PIXEL_LAYOUTS:
        return picture
    # The scaler carries over everything that comes with a frame; the samples are copied here, bit for bit.
    swapped = scaled(picture, format=twin)
    word = PIXEL_LAYOUTS[twin].dtype
    for target, source in zip(swapped.planes, picture.planes, strict=True):
        new, old = (_rows(plane, word) for plane in (target, source))
        width = min(new.shape[1], old.shape[1])
        np.copyto(new[:, :width], old[:, :width].byteswap())
    swapped.pts, swapped.time_base = picture.pts, picture.time_base
    return swapped


def _rows(plane: VideoPlane, word: np.dtype[Any]) -> NDArray[Any]:
    # PyAV's stubs do not declare the buffer protocol that its planes have.
    samples: NDArray[np.uint8] = np.frombuffer(plane, np.uint8)  # type: ignore[call-overload]
    rows = samples.reshape(-1, plane.line_size)
    return rows[:, : plane.line_size - plane.line_size % word.itemsize].view(word)
