"""Which part of a crop is face: outlines from landmarks, soft edges for blending."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..face.align import CHIN, FACE_OVAL, FOREHEAD_TOP, LEFT_EYE_OUTER, RIGHT_EYE_OUTER

# The mesh ends below the hairline; share of the face's height that the outline is raised by.
FOREHEAD_RAISE = 0.04
# At the temples it runs over hair; share of the half width there that the outline is drawn in by.
TEMPLE_INSET = 0.12


def hull(
    landmarks: NDArray[np.floating], size_px: int, forehead: float = FOREHEAD_RAISE
) -> NDArray[np.float32]:
    """The outline of a face, filled, with anti-aliased edges; drawn in at the temples.

    Args:
        landmarks: ``[468, 2]`` in px of the crop.
        size_px: side of the crop.
        forehead: how far the outline's top is raised, in face heights; less towards the temples.

    Returns:
        float32 ``[size_px, size_px]`` in 0..1.
    """
    points = np.asarray(landmarks, np.float64)
    outline = points[list(FACE_OVAL)]
    axis = points[FOREHEAD_TOP] - points[CHIN]
    height_px = float(np.hypot(*axis))
    up = axis / height_px
    eyes = (points[RIGHT_EYE_OUTER] + points[LEFT_EYE_OUTER]) / 2
    above_eyes = (outline - eyes) @ up / ((points[FOREHEAD_TOP] - eyes) @ up)
    raised = np.clip(above_eyes, 0.0, 1.0)[:, None] * up * forehead * height_px
    side = np.array([-up[1], up[0]])
    aside = ((outline - eyes) @ side)[:, None] * side
    inset = np.clip(above_eyes + 0.5, 0.0, 1.0)[:, None] * aside * TEMPLE_INSET
    return fill(outline + raised - inset, size_px)


def fill(points: NDArray[np.float64], size_px: int) -> NDArray[np.float32]:
    """The convex hull of ``[K, 2]`` points, filled: float32 ``[size_px, size_px]`` in 0..1.

    A pixel's value is its centre's signed distance to the nearest edge, plus a half, clamped.
    """
    corners = _convex_hull(points)
    if len(corners) < 3:
        return np.zeros((size_px, size_px), np.float32)
    edges = np.roll(corners, -1, axis=0) - corners
    lengths = np.hypot(edges[:, 0], edges[:, 1])
    # Inward normals of a hull that runs clockwise on the screen, where y points down.
    normals = np.stack([-edges[:, 1], edges[:, 0]], axis=1) / lengths[:, None]
    offsets = np.einsum("kd,kd->k", normals, corners)
    return kernels.fill(np.column_stack([normals, offsets]).astype(np.float32), size_px)


@dataclass(frozen=True)
class MaskSettings:
    """The edge of what is blended.

    Attributes:
        feather: width of the soft edge, in crop sides; it lies inside the outline.
        border: width of the ramp that keeps weights off the crop's own edge, in crop sides.
    """

    feather: float = 0.06
    border: float = 0.04


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
    size_px = len(mask)
    sigma_px = settings.feather * size_px / 2
    radius = max(1, int(np.ceil(2.5 * sigma_px)))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(sigma_px, 0.3)) ** 2)
    return kernels.soften(mask, (taps / taps.sum()).astype(np.float32), max(settings.border * size_px, 1.0))


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
