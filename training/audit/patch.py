"""A face as it would look from straight ahead, in small, and the texture of its parts.

Texture tells one person from another in one faceset, and a bare face from one behind a hand. Light is divided
out, fine detail is blurred away, so that neither a lamp nor a lens makes a stranger.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from ...engine.face.eyes import sample
from .picture import Image, blurred
from .pose import SHAPE, Pose

# The patch: its columns and rows, and what it shows of the face's plane, in face heights (see `SHAPE`).
COLUMNS, ROWS = 48, 56
LEFT, RIGHT, TOP, BOTTOM = -0.36, 0.36, -0.36, 0.48
# Cells of the texture, px of the patch; eight directions in each.
CELL_PX, DIRECTIONS = 8, 8
# Brows, eyes and nose: what lies below moves with the mouth. In rows of cells.
IDENTITY_ROWS = 5

# So far a point of the patch looks around for points of `SHAPE` to take its depth from, in face heights.
_REACH = 0.06
_DETAIL_PX, _LIGHT_PX = 1.5, 8.0


def face_patch(rgb: NDArray[np.uint8], pose: Pose, number: int) -> Image:
    """The face of a crop, turned to the front: RGB codes ``[ROWS, COLUMNS, 3]``.

    Args:
        rgb: uint8 ``[height, width, 3]``.
        pose: of many faces, in px of their crops.
        number: which of them.
    """
    turned = pose.rotation[number, :2] @ _grid().T
    points = pose.scale[number] * turned.T + pose.shift[number]
    return sample(rgb, points).reshape(ROWS, COLUMNS, 3)


def texture(luma: Image) -> NDArray[np.float32]:
    """Directions of edges a cell (as in Dalal and Triggs, CVPR 2005), of equal total for all faces.

    Args:
        luma: of a patch, ``[ROWS, COLUMNS]`` codes.

    Returns:
        ``[rows of cells, columns of cells, DIRECTIONS]``, of norm 1.
    """
    image = np.log(blurred(luma, _DETAIL_PX) + 8.0)
    image = image - blurred(image, _LIGHT_PX)
    image = image / (np.sqrt(blurred(image**2, _LIGHT_PX)) + 0.1)
    down, right = np.gradient(image)
    strength = np.hypot(right, down)
    direction = np.arctan2(down, right) % np.pi * (DIRECTIONS / np.pi)
    first = direction.astype(np.intp)
    share = direction - first
    rows, columns = ROWS // CELL_PX, COLUMNS // CELL_PX
    y, x = np.mgrid[:ROWS, :COLUMNS] // CELL_PX
    cell = (y * columns + x) * DIRECTIONS
    bins = rows * columns * DIRECTIONS
    cells = np.bincount((cell + first % DIRECTIONS).ravel(), (strength * (1 - share)).ravel(), bins)
    cells += np.bincount((cell + (first + 1) % DIRECTIONS).ravel(), (strength * share).ravel(), bins)
    length = max(float(np.sqrt((cells**2).sum())), 1e-6)
    return (cells / length).astype(np.float32).reshape(rows, columns, DIRECTIONS)


@functools.cache
def _grid() -> NDArray[np.float64]:
    """The patch's points on the face, ``[ROWS * COLUMNS, 3]`` face heights."""
    x, y = np.meshgrid(
        LEFT + (np.arange(COLUMNS) + 0.5) * ((RIGHT - LEFT) / COLUMNS),
        TOP + (np.arange(ROWS) + 0.5) * ((BOTTOM - TOP) / ROWS),
    )
    plane = np.stack([x.ravel(), y.ravel()], axis=1)
    known = np.array(list(SHAPE.values()))
    distance = ((plane[:, None] - known[None, :, :2]) ** 2).sum(axis=2)
    # Relative to the nearest, so that far from all points one of them still counts.
    nearness = np.exp(-0.5 * (distance - distance.min(axis=1, keepdims=True)) / _REACH**2)
    depth = nearness @ known[:, 2] / nearness.sum(axis=1)
    return np.column_stack([plane, depth])
