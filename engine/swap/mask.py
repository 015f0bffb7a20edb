"""Which part of a crop is face: outlines from landmarks, soft edges for blending."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..errors import UsageError
from ..face.align import (
    CHIN,
    FACE_OVAL,
    FOREHEAD_TOP,
    LEFT_EYE,
    LEFT_EYE_OUTER,
    LIPS,
    NOSE_BASE,
    RIGHT_EYE,
    RIGHT_EYE_OUTER,
)

# The mesh ends below the hairline; share of the face's height that the outline is raised by.
FOREHEAD_RAISE = 0.04
# At the temples it runs over hair; share of the half width there that the outline is drawn in by.
TEMPLE_INSET = 0.12

# Over how many degrees a face that turns away fades.
YAW_FADE_DEG = 20.0

MaskKind = Literal["both", "learned", "hull"]
MASK_KINDS: tuple[MaskKind, ...] = ("both", "learned", "hull")
Cover = Literal["features", "face", "whole"]
COVERS: tuple[Cover, ...] = ("features", "face", "whole")


class Sides(NamedTuple):
    """Lengths in face heights, of the picture's sides while the face is upright."""

    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0
    left: float = 0.0


class _Shape(NamedTuple):
    """An outline: landmarks, how far their top is raised, the temples' inset, and what is added around."""

    points: NDArray[np.intp]
    forehead: float
    inset: float
    margin: Sides


_OVAL = np.array(FACE_OVAL)
_FEATURES = np.array([*LEFT_EYE, *RIGHT_EYE, *NOSE_BASE, *LIPS])
_SHAPES: dict[Cover, _Shape] = {
    "features": _Shape(_FEATURES, 0.0, 0.0, Sides(0.09, 0.06, 0.06, 0.06)),
    "face": _Shape(_OVAL, FOREHEAD_RAISE, TEMPLE_INSET, Sides()),
    # Up to the hairline, and down over a beard.
    "whole": _Shape(_OVAL, 0.14, 0.5 * TEMPLE_INSET, Sides(0.0, 0.03, 0.07, 0.03)),
}


def hull(
    landmarks: NDArray[np.floating], size_px: int, forehead: float = FOREHEAD_RAISE
) -> NDArray[np.float32]:
    """The outline of a face, filled, with anti-aliased edges; see `outline`.

    Returns:
        float32 ``[size_px, size_px]`` in 0..1.
    """
    return filled(outline(landmarks, forehead), size_px)


def outline(
    landmarks: NDArray[np.floating],
    forehead: float | None = None,
    *,
    cover: Cover = "face",
    erode: Sides | None = None,
) -> NDArray[np.float32]:
    """The outline of a face, convex, drawn in at the temples.

    Args:
        landmarks: ``[468, 2]`` in px of the crop.
        forehead: how far the outline's top is raised, in face heights; less towards the temples. None for
            what ``cover`` asks for.
        cover: how much of the face lies inside: eyes, nose and mouth; the face to its jaw; or with forehead,
            chin and beard.
        erode: how far each side is moved inwards, as by an erosion with a rectangle; outwards below 0.

    Returns:
        float32 ``[K, 3]``, as of `hull_edges`.
    """
    shape = _SHAPES[cover]
    forehead = shape.forehead if forehead is None else forehead
    points = np.asarray(landmarks, np.float64)
    axis = points[FOREHEAD_TOP] - points[CHIN]
    height_px = math.hypot(*axis)
    up = axis / height_px
    # Rows: to the side, and up, seen from between the eyes.
    axes = np.array([[-up[1], up[0]], up])
    eyes = (points[RIGHT_EYE_OUTER] + points[LEFT_EYE_OUTER]) / 2
    aside, above = axes @ (points[shape.points] - eyes).T
    share = above / ((points[FOREHEAD_TOP] - eyes) @ up)
    above += np.minimum(np.maximum(share, 0.0), 1.0) * (forehead * height_px)
    aside *= 1.0 - np.minimum(np.maximum(share + 0.5, 0.0), 1.0) * shape.inset
    edges = hull_edges(np.stack([aside, above], axis=1) @ axes + eyes)
    inwards = [taken - given for taken, given in zip(erode or Sides(), shape.margin, strict=True)]
    return _eroded(edges, axes, np.array(inwards) * height_px) if any(inwards) else edges


def _eroded(
    edges: NDArray[np.float32], axes: NDArray[np.float64], inwards_px: NDArray[np.float64]
) -> NDArray[np.float32]:
    """A convex polygon without what a rectangle that moves along its outside covers.

    Args:
        edges: of `hull_edges`.
        axes: rows are unit vectors to the right and up.
        inwards_px: ``[4]``, how far the rectangle reaches in from the polygon's top, right, bottom and left.
    """
    right, up = axes @ -edges[:, :2].T.astype(np.float64)
    # The rectangle's support function: how far it reaches in the direction of each edge's outward normal.
    faces = np.stack([np.maximum(each, 0.0) for each in (up, right, -up, -right)])
    moved = edges.copy()
    moved[:, 2] += inwards_px @ faces
    return moved


def everything(size_px: int) -> NDArray[np.float32]:
    """The outline of a whole crop, as of `hull_edges`."""
    return np.array([[1, 0, 0], [-1, 0, -size_px], [0, 1, 0], [0, -1, -size_px]], np.float32)


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


def frame_edges(
    placed: NDArray[np.float64], size_px: int, width: int, height: int
) -> NDArray[np.float32] | None:
    """The frame as a polygon in px of a crop, as of `hull_edges`; None where the crop lies inside it.

    Args:
        placed: float64 ``[2, 3]``, crop px to luma px.
        size_px: side of the crop.
        width: of the frame, luma px.
        height: of the frame, luma px.
    """
    if all(
        0 <= a * x + b * y + c <= end
        for (a, b, c), end in zip(placed.tolist(), (width, height), strict=True)
        for x in (0, size_px)
        for y in (0, size_px)
    ):
        return None
    x, y = placed
    sides = np.array([x, [-x[0], -x[1], width - x[2]], y, [-y[0], -y[1], height - y[2]]])
    sides *= [1.0, 1.0, -1.0]
    edges: NDArray[np.float32] = (sides / np.hypot(sides[:, :1], sides[:, 1:2])).astype(np.float32)
    return edges


@dataclass(frozen=True)
class MaskSettings:
    """What of a face is blended, and the edge of that. All lengths but one are in face heights.

    Attributes:
        kind: the network's own mask, the outline of the source's landmarks, or where both are.
        cover: how much lies inside that outline; see `outline`.
        erode_top: how far the outline's side is moved inwards, -0.2..0.5; outwards below 0.
        erode_right: the same, of the picture's right side.
        erode_bottom: the same.
        erode_left: the same.
        feather: width of the soft edge, 0..1; it lies inside the mask's outline.
        border: width of the ramp that keeps weights off the crop's own edge, in crop sides.
        most_yaw_deg: 1..110: a face that is turned as far away or farther stays the source's; from
            `YAW_FADE_DEG` before that on it fades into it. No face is turned by more than 90: 110 fades none.
    """

    kind: MaskKind = "both"
    cover: Cover = "face"
    erode_top: float = 0.0
    erode_right: float = 0.0
    erode_bottom: float = 0.0
    erode_left: float = 0.0
    feather: float = 0.072
    border: float = 0.04
    most_yaw_deg: float = 70.0

    @property
    def erode(self) -> Sides:
        return Sides(self.erode_top, self.erode_right, self.erode_bottom, self.erode_left)

    def check(self) -> None:
        """Raises UsageError for values that make no sense."""
        if self.kind not in MASK_KINDS or self.cover not in COVERS:
            raise UsageError(
                f"a mask must be one of {', '.join(MASK_KINDS)}, its cover one of {', '.join(COVERS)}"
            )
        if not all(-0.2 <= side <= 0.5 for side in self.erode):
            raise UsageError("sides of a mask can be moved inwards by -0.2 to 0.5 face heights")
        if not (0 <= self.feather <= 1 and 0 <= self.border <= 0.5 and 1 <= self.most_yaw_deg <= 110):
            raise UsageError("a feather must be within 0..1, a border within 0..0.5, a yaw within 1..110")
        if self.kind == "learned" and (self.cover != "face" or any(self.erode)):
            raise UsageError(
                "cover and erosion are of the landmarks' outline, which a learned mask alone has not: "
                "take the mask from both"
            )

    def outline(self, landmarks: NDArray[np.floating], size_px: int) -> NDArray[np.float32]:
        """What the mask of a crop of ``size_px`` is cut to; see `outline`."""
        if self.kind == "learned":
            return everything(size_px)
        return outline(landmarks, cover=self.cover, erode=self.erode)


# Colours are measured well inside the outline, clear of hair and background.
SKIN = MaskSettings(feather=0.28)


def soften(
    mask: NDArray[np.float32], settings: MaskSettings, face_px: float | None = None
) -> NDArray[np.float32]:
    """A learned mask made fit for blending: full inside, soft towards its outline, 0 from there on.

    A Gaussian of half the feather's width turns an edge into a ramp that crosses
    one half at the outline; its upper half is the feather, so nothing outside
    the outline is touched and no separate erosion is needed.

    Args:
        mask: float32 ``[R, R]`` in 0..1.
        settings: of the edge.
        face_px: height of a mean face in the crop; None for R.

    Returns:
        float32 ``[R, R]``; exactly 0 outside the outline and at the crop's edge.
    """
    return kernels.soften(mask, *softening(settings, len(mask), face_px))


def softening(
    settings: MaskSettings, size_px: int, face_px: float | None = None
) -> tuple[NDArray[np.float32], float]:
    """Taps and border of `kernels.soften`, for masks of this side."""
    feather_px = settings.feather * (size_px if face_px is None else face_px)
    return _gaussian(feather_px / 2), max(settings.border * size_px, 1.0)


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
            x, y = point
            while len(kept) > 1:
                (ax, ay), (bx, by) = kept[-2:]
                # Only what turns the one way stays.
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                kept.pop()
            kept.append(point)
        return kept[:-1]

    return np.array(chain(ordered) + chain(ordered[::-1]))
