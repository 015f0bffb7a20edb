"""From landmarks to the affine that lays a face straight.

Landmarks are the 468 points of the MediaPipe face mesh, in luma px of the
coded frame. A template says where the points that expression hardly moves
belong, in units of the mean face's height with the crop's centre as origin.
`crop_to_frame` is the one place where template, sample aspect ratio and
display rotation come together.
"""

from __future__ import annotations

import cmath
import functools
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Affine = NDArray[np.float64]

LANDMARK_SCHEME = "mediapipe-468"
LANDMARK_COUNT = 468

# fmt: off
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
RIGHT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
LEFT_EYE = (362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382)
LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
# fmt: on
# Their upper edges, from the outer end of the right one to that of the left one.
BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
NOSE_BASE = (98, 97, 2, 326, 327)
RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 33, 263
FOREHEAD_TOP, CHIN, NOSE_TIP = 10, 152, 4

# Mean over seven people of our own test footage, laid over each other by least squares and made
# symmetric; brows, lips and jaw are left out because expression moves them.
TEMPLATE: Mapping[int, tuple[float, float]] = {
    2: (0.0, 0.1092),
    5: (0.0, -0.0246),
    6: (0.0, -0.1446),
    10: (0.0, -0.4733),
    21: (-0.3905, -0.2839),
    33: (-0.2698, -0.1535),
    54: (-0.3536, -0.3550),
    67: (-0.2075, -0.4513),
    98: (-0.1062, 0.0988),
    103: (-0.2957, -0.4124),
    109: (-0.1124, -0.4694),
    127: (-0.4153, -0.1173),
    133: (-0.1043, -0.1487),
    168: (0.0, -0.1897),
    195: (0.0, -0.0654),
    197: (0.0, -0.1035),
    251: (0.3905, -0.2839),
    263: (0.2698, -0.1535),
    284: (0.3536, -0.3550),
    297: (0.2075, -0.4513),
    327: (0.1062, 0.0988),
    332: (0.2957, -0.4124),
    338: (0.1124, -0.4694),
    356: (0.4153, -0.1173),
    362: (0.1043, -0.1487),
}


def similarity(source: Points, target: Points) -> Affine:
    """The similarity transform that takes ``source`` nearest to ``target``.

    Least squares in closed form: with points as complex numbers it is
    ``z -> a z + b``, so that reflections cannot occur. In the plane this
    equals Umeyama (IEEE PAMI 13(4), 1991) without its reflection case.

    Args:
        source: float64 ``[K, 2]``, K >= 2, not all equal.
        target: float64 ``[K, 2]``.

    Returns:
        float64 ``[2, 3]``.

    Raises:
        ValueError: the source points all lie in one place, or a value is not finite.
    """
    s, t = _as_complex(source), _as_complex(target)
    s_mean, t_mean = s.sum() / len(s), t.sum() / len(t)
    s_centred = s - s_mean
    spread = float(np.vdot(s_centred, s_centred).real)
    if not (math.isfinite(spread) and cmath.isfinite(t_mean)) or spread == 0.0:
        raise ValueError("points that are not finite, or all in one place, have no similarity transform")
    a = np.vdot(s_centred, t - t_mean) / spread
    b = t_mean - a * s_mean
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def _as_complex(points: Points) -> NDArray[np.complex128]:
    """``[K]`` of ``[K, 2]``."""
    return np.ascontiguousarray(points, np.float64).view(np.complex128)[:, 0]


def display_matrix(sample_aspect_ratio: float = 1.0, rotation: int = 0) -> NDArray[np.float64]:
    """The linear map from coded luma px to the picture as a player shows it.

    Args:
        sample_aspect_ratio: width of a pixel over its height.
        rotation: degrees counter-clockwise that a player turns the picture by.

    Returns:
        float64 ``[2, 2]``: sample aspect first, then rotation (about the origin; y points down).
    """
    c, s = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    return np.array([[c, s], [-s, c]]) @ np.diag([sample_aspect_ratio, 1.0])


def crop_to_frame(
    landmarks: Points,
    *,
    size_px: int,
    coverage: float,
    template: Mapping[int, tuple[float, float]] = TEMPLATE,
    display: NDArray[np.float64] | None = None,
) -> Affine:
    """The affine of a face: crop px to luma px of the coded frame.

    Args:
        landmarks: ``[468, 2]``, luma px.
        size_px: side of the crop.
        coverage: side of the crop over the height of the mean face.
        template: landmark index to its place, in face heights from the crop's centre.
        display: of `display_matrix`; None for square pixels shown unrotated.

    Returns:
        float64 ``[2, 3]``: a similarity on the display, undone to coded px.

    Raises:
        ValueError: landmarks that are not finite or all in one place.
    """
    indices, places = _template_px(tuple(template.items()), size_px, coverage)
    shown = np.asarray(landmarks, np.float64)[indices]
    if display is not None:
        shown = shown @ display.T
    # Estimated towards the template and inverted: errors then weigh the same for every face size.
    to_crop = similarity(shown, places)
    if display is not None:
        to_crop[:, :2] = to_crop[:, :2] @ display
    return invert(to_crop)


@functools.lru_cache(maxsize=64)
def _template_px(
    template: tuple[tuple[int, tuple[float, float]], ...], size_px: int, coverage: float
) -> tuple[NDArray[np.intp], Points]:
    """Indices ``[K]`` and places ``[K, 2]`` in crop px."""
    indices, places = zip(*template, strict=True)
    return np.array(indices), (np.array(places) / coverage + 0.5) * size_px


def invert(affine: Affine) -> Affine:
    """The inverse of a ``[2, 3]`` affine.

    Raises:
        ValueError: it has none.
    """
    # In Python's own numbers: a library for matrices of any size takes five times as long.
    (a, b, x), (c, d, y) = affine.tolist()
    determinant = a * d - b * c
    if not determinant:
        raise ValueError("an affine that lays everything on a line has no inverse")
    a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
    return np.array([[a, b, -(a * x + b * y)], [c, d, -(c * x + d * y)]])


def compose(second: Affine, first: Affine) -> Affine:
    """The ``[2, 3]`` affine that does ``first``, then ``second``."""
    linear = second[:, :2]
    return np.concatenate([linear @ first[:, :2], (linear @ first[:, 2] + second[:, 2])[:, None]], axis=1)


def apply(affine: Affine, points: Points) -> Points:
    """``[..., 2]`` points through a ``[2, 3]`` affine."""
    return points @ affine[:, :2].T + affine[:, 2]
