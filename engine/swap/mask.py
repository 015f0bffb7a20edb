"""Which part of a crop is face: outlines from landmarks, soft edges for blending."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..face.align import CHIN, FACE_OVAL, FOREHEAD_TOP, LEFT_EYE_OUTER, RIGHT_EYE_OUTER

# The mesh ends below the hairline; share of the face's height that the outline is raised by.
FOREHEAD_RAISE = 0.04
# At the temples it runs over hair; share of the half width there that the outline is drawn in by.
TEMPLE_INSET = 0.12
_OUTLINE = np.array(FACE_OVAL)


def hull(
    landmarks: NDArray[np.floating], size_px: int, forehead: float = FOREHEAD_RAISE
) -> NDArray[np.float32]:
    """The outline of a face, filled, with anti-aliased edges; see `outline`.

    Returns:
        float32 ``[size_px, size_px]`` in 0..1.
    """
    return filled(outline(landmarks, forehead), size_px)


def outline(landmarks: NDArray[np.floating], forehead: float = FOREHEAD_RAISE) -> NDArray[np.float32]:
    """The outline of a face, convex, drawn in at the temples.

    Args:
        landmarks: ``[468, 2]`` in px of the crop.
        forehead: how far the outline's top is raised, in face heights; less towards the temples.

    Returns:
        float32 ``[K, 3]``, as of `hull_edges`.
    """
    points = np.asarray(landmarks, np.float64)
    axis = points[FOREHEAD_TOP] - points[CHIN]
    height_px = math.hypot(*axis)
    up = axis / height_px
    # Rows: to the side, and up, seen from between the eyes.
    axes = np.array([[-up[1], up[0]], up])
    eyes = (points[RIGHT_EYE_OUTER] + points[LEFT_EYE_OUTER]) / 2
    aside, above = axes @ (points[_OUTLINE] - eyes).T
    share = above / ((points[FOREHEAD_TOP] - eyes) @ up)
    above += np.minimum(np.maximum(share, 0.0), 1.0) * (forehead * height_px)
    aside *= 1.0 - np.minimum(np.maximum(share + 0.5, 0.0), 1.0) * TEMPLE_INSET
    return hull_edges(np.stack([aside, above], axis=1) @ axes + eyes)


def fill(points: NDArray[np.float64], size_px: int) -> NDArray[np.float32]:
    """The convex hull of ``[K, 2]`` points, filled; see `filled`."""
    return filled(hull_edges(points), size_px)


def filled(edges: NDArray[np.float32], size_px: int) -> NDArray[np.float32]:
    """A convex polygon, filled: float32 ``[size_px, size_px]`` in 0..1; 0 where it has no edges.

    A pixel's value is its centre's signed distance to the nearest edge, plus a half, clamped.
    """
    if not len(edges):
        return np.zeros((size_px, size_px), np.float32)
    return kernels.fill(edges, size_px)


def hull_edges(points: NDArray[np.float64]) -> NDArray[np.float32]:
    """Those of the convex hull of ``[K, 2]`` points, px: float32 ``[K, 3]``, inward normals and offsets.

    Inside is ``normal @ (x, y) > offset``; none where all points lie on a line.
    """
    corners = _convex_hull(points)
    if len(corners) < 3:
        return np.empty((0, 3), np.float32)
    x, y = corners.T
    along_x, along_y = (np.append(each[1:], each[0]) - each for each in (x, y))
    lengths = np.hypot(along_x, along_y)
    # Inward normals of a hull that runs clockwise on the screen, where y points down.
    normals = np.stack([-along_y, along_x, along_x * y - along_y * x], axis=1) / lengths[:, None]
    edges: NDArray[np.float32] = normals.astype(np.float32)
    return edges


@dataclass(frozen=True)
class MaskSettings:
    """The edge of what is blended.

    Attributes:
        feather: width of the soft edge, in crop sides; it lies inside the outline.
        border: width of the ramp that keeps weights off the crop's own edge, in crop sides.
    """

    feather: float = 0.06
    border: float = 0.04


# Colours are measured well inside the outline, clear of hair and background.
SKIN = MaskSettings(feather=0.2)


def soften(mask: NDArray[np.float32], settings: MaskSettings) -> NDArray[np.float32]:
    """A learned mask made fit for blending: full inside, soft towards its outline, 0 from there on.

    A Gaussian of half the feather's width turns an edge into a ramp that crosses
    one half at the outline; its upper half is the feather, so nothing outside
    the outline is touched and no separate erosion is needed.

    Args:
        mask: float32 ``[R, R]`` in 0..1.
        settings: of the edge.

    Returns:
        float32 ``[R, R]``; exactly 0 outside the outline and at the crop's edge.
    """
    return kernels.soften(mask, *softening(settings, len(mask)))


def softening(settings: MaskSettings, size_px: int) -> tuple[NDArray[np.float32], float]:
    """Taps and border of `kernels.soften`, for masks of this side."""
    return _gaussian(settings.feather * size_px / 2), max(settings.border * size_px, 1.0)


@functools.lru_cache(maxsize=16)
def _gaussian(sigma_px: float) -> NDArray[np.float32]:
    """Its taps, which sum to 1."""
    radius = max(1, math.ceil(2.5 * sigma_px))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(sigma_px, 0.3)) ** 2)
    normed: NDArray[np.float32] = (taps / taps.sum()).astype(np.float32)
    return normed


def _convex_hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Andrew's monotone chain; clockwise on the screen."""
    ordered = sorted(map(tuple, points.tolist()))

    def chain(sequence: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
        kept: list[tuple[float, ...]] = []
        for point in sequence:
            while len(kept) > 1 and _turn(kept[-2], kept[-1], point) <= 0:
                kept.pop()
            kept.append(point)
        return kept[:-1]

    return np.array(chain(ordered) + chain(ordered[::-1]))


def _turn(a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
