"""One row of a contact sheet: a frame before and after, and its face enlarged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..frame import Frame
from ..video.info import VideoInfo
from .text import written

Box = tuple[float, float, float, float]
Image = NDArray[np.uint8]

GAP_PX = 4
# Letters 21 px high on a sheet 1600 px wide.
_WIDTH_PER_DOT_PX = 500


def stacked(rows: Sequence[Image]) -> Image:
    """Rows of one width, one below the other, black lines between them."""
    gap = np.zeros((GAP_PX, rows[0].shape[1], 3), np.uint8)
    return np.concatenate([part for row in rows for part in (row, gap)][:-1])


def caption(text: str, width_px: int, colour: tuple[int, int, int] = (230, 230, 230)) -> Image:
    """A line of text on black, cut off where it is too long: uint8 ``[height, width_px, 3]``."""
    dot_px = max(1, width_px // _WIDTH_PER_DOT_PX)
    dots = written(text).repeat(dot_px, 0).repeat(dot_px, 1)[:, : width_px - 4 * dot_px]
    line = np.zeros((len(dots) + 4 * dot_px, width_px, 3), np.uint8)
    line[2 * dot_px : -2 * dot_px, 2 * dot_px : 2 * dot_px + dots.shape[1]][dots] = colour
    return line


def strip(old: Frame, new: Frame, box: Box | None, info: VideoInfo, width_px: int) -> Image:
    """A row: two pictures, two square faces as high as the pictures; all as a player shows them.

    Args:
        old: the frame before.
        new: the frame after, of the same size.
        box: of the face, luma px; None leaves its places black.
        info: of ``old``.
        width_px: of the row.
    """
    pixel_aspect = float(info.sample_aspect_ratio or 1)
    on_its_side = info.rotation % 180 == 90
    aspect = (old.width * pixel_aspect / old.height) ** (-1 if on_its_side else 1)
    picture_px = round((width_px - 3 * GAP_PX) / (2 + 2 / aspect))
    height_px = max(1, (width_px - 3 * GAP_PX - 2 * picture_px) // 2)
    size_px = (height_px, picture_px) if on_its_side else (picture_px, height_px)
    pictures = [kernels.resize(frame, *size_px, pixel_aspect=pixel_aspect)[0] for frame in (old, new)]
    cells = [_shown(picture, info) for picture in pictures]
    cells += [face_cell(frame, box, info, height_px) for frame in (old, new)]
    row = np.zeros((height_px, width_px, 3), np.uint8)
    row_of_cells = beside(cells)
    row[:, : row_of_cells.shape[1]] = row_of_cells
    return row


def beside(cells: Sequence[Image]) -> Image:
    """Pictures of one height, one beside the other, black lines between them."""
    gap = np.zeros((cells[0].shape[0], GAP_PX, 3), np.uint8)
    return np.concatenate([part for cell in cells for part in (cell, gap)][:-1], axis=1)


def _shown(rgb: NDArray[np.float32], info: VideoInfo) -> Image:
    """As a player turns it: uint8 ``[height, width, 3]``."""
    codes: Image = np.rint(np.clip(rgb, 0.0, 1.0) * 255).astype(np.uint8)
    # np.rot90 turns counter-clockwise, as the display matrix does.
    return np.rot90(codes.transpose(1, 2, 0), info.rotation // 90)


def face_cell(frame: Frame, box: Box | None, info: VideoInfo, size_px: int) -> Image:
    """The square around a face's box with a third of margin, kept inside the picture, as a player shows it.

    Args:
        frame: that shows it.
        box: luma px; None gives a black square.
        info: of ``frame``.
        size_px: side of the square.
    """
    if box is None:
        return np.zeros((size_px, size_px, 3), np.uint8)
    pixel_aspect = float(info.sample_aspect_ratio or 1)
    width, height = frame.width * pixel_aspect, float(frame.height)
    x0, x1 = box[0] * pixel_aspect, box[2] * pixel_aspect
    side = max(16.0, min(max(x1 - x0, box[3] - box[1]) * 4 / 3, width, height))
    x = min(max((x0 + x1 - side) / 2, 0.0), max(width - side, 0.0))
    y = min(max((box[1] + box[3] - side) / 2, 0.0), max(height - side, 0.0))
    step = side / size_px
    matrix = np.array([[[step / pixel_aspect, 0, x / pixel_aspect], [0, step, y]]])
    return _shown(kernels.crop(frame, matrix, size_px)[0], info)
