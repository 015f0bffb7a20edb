"""A contact sheet: frames before and after, and their faces enlarged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..clip import Clip, ReadingSettings
from ..errors import BadInputError, UsageError
from ..frame import LUMA_SHARES, Frame, Matrix
from ..part_file import keep_sources
from ..video.info import VideoInfo
from .png import write_png
from .strip import Box, stacked, strip

# Encoding alone moves the mean of an 8x8 block by a code value or two.
_BLOCK_PX = 8
_CHANGED_CODES = 6.0


@dataclass(frozen=True)
class _Sight:
    """What one frame offers: how much it changed (in 8-bit codes), and where its face is."""

    change: float
    box: Box | None


def sheet(
    after: Path | str,
    before: Path | str,
    out: Path | str,
    *,
    rows: int = 6,
    width_px: int = 1200,
    boxes: Mapping[int, Box] | None = None,
    reading: ReadingSettings | None = None,
) -> Path:
    """Write a PNG with one row a frame: before, after, face before, face after.

    The film is cut into ``rows`` equal stretches, and each gives the frame that
    changed most, one with a face before any other.

    Args:
        after: the converted clip, a film or a sequence.
        before: its source, with as many frames.
        out: the PNG; replaced where it exists.
        rows: at most so many frames are shown.
        width_px: of the sheet.
        boxes: pts in ``before`` to the face's luma box ``(x0, y0, x1, y1)`` in pixels;
            where it is None, the face is where the clips differ.
        reading: how ``before`` was read when it was converted.

    Raises:
        UsageError: ``rows`` or ``width_px`` too small, or ``out`` is one of the clips.
        BadInputError: a clip that cannot be read, or clips that do not belong together.
        OutputError: ``out`` cannot be written.
    """
    if rows < 1 or width_px < 160:
        raise UsageError("a sheet needs at least one row and 160 pixels of width")
    keep_sources(Path(out), Path(before), Path(after))
    reading = reading or ReadingSettings()
    sights = [_sight(old, new, boxes) for old, new, _ in _pairs(before, after, reading)]
    chosen = _choose(sights, rows)
    strips = [
        strip(old, new, sights[old.index].box, info, width_px)
        for old, new, info in _pairs(before, after, reading)
        if old.index in chosen
    ]
    return write_png(out, stacked(strips))


def _pairs(
    before: Path | str, after: Path | str, reading: ReadingSettings
) -> Iterator[tuple[Frame, Frame, VideoInfo]]:
    """Frames before and after, and what the clip says of those before."""
    # Fields go back into the frames that they came from: these are what was written.
    whole = "as_progressive" if reading.interlaced == "fields" else reading.interlaced
    old_reading = replace(reading, interlaced=whole)
    with Clip(before, old_reading) as old, Clip(after, ReadingSettings(interlaced="as_progressive")) as new:
        if (old.info.width, old.info.height) != (new.info.width, new.info.height):
            raise BadInputError(
                f"{after}: has another picture size than {before}: give a clip and its source"
            )
        try:
            for one, other in zip(old, new, strict=True):
                yield one, other, old.info
        except ValueError as error:
            raise BadInputError(
                f"{after}: has another number of frames than {before}: give a clip and its source"
            ) from error


def _luma(frame: Frame) -> NDArray[np.float32]:
    """Brightness as 8-bit codes of full range."""
    colour = frame.colour
    luma, blue, red = (plane.astype(np.float32) for plane in frame.planes)
    if colour.matrix is Matrix.RGB:
        of_red, of_green, of_blue = map(np.float32, LUMA_SHARES[Matrix.RGB])
        luma = of_red * red + of_green * luma + of_blue * blue
    luma *= np.float32(255 / colour.white)
    return luma if colour.full_range else (luma - 16) * np.float32(255 / 219)


def _sight(old: Frame, new: Frame, boxes: Mapping[int, Box] | None) -> _Sight:
    difference = np.abs(_luma(new) - _luma(old))
    rows, columns = (length // _BLOCK_PX for length in difference.shape)
    blocks = difference[: rows * _BLOCK_PX, : columns * _BLOCK_PX]
    changed = blocks.reshape(rows, _BLOCK_PX, columns, _BLOCK_PX).mean(axis=(1, 3)) > _CHANGED_CODES
    if boxes is not None:
        return _Sight(float(difference.mean()), boxes.get(old.pts))
    if not changed.any():
        return _Sight(float(difference.mean()), None)
    ys, xs = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    x0, x1, y0, y1 = (float(edge * _BLOCK_PX) for edge in (xs[0], xs[-1] + 1, ys[0], ys[-1] + 1))
    return _Sight(float(difference.mean()), (x0, y0, x1, y1))


def _choose(sights: list[_Sight], rows: int) -> set[int]:
    stretches = np.array_split(np.arange(len(sights)), min(rows, len(sights)))
    return {
        int(max(stretch, key=lambda number: (sights[number].box is not None, sights[number].change)))
        for stretch in stretches
    }
