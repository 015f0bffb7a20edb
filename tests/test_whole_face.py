"""The alignment of DFM files against DeepFaceLab's formula, step by step as it is published."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_align import umeyama

from crossface.engine.face.align import LANDMARK_COUNT, apply, crop_to_frame, invert
from crossface.engine.face.seen import KEPT_POINTS
from crossface.engine.swap.whole_face import LANDMARK_OF, WHOLE_FACE, WHOLE_FACE_COVERAGE

# dlib's mean face: points 17 to 48 and 54 of 300-W's 68.
# fmt: off
X = (
    0.000213256, 0.0752622, 0.18113, 0.29077, 0.393397, 0.586856, 0.689483, 0.799124, 0.904991, 0.98004,
    0.490127, 0.490127, 0.490127, 0.490127, 0.36688, 0.426036, 0.490127, 0.554217, 0.613373,
    0.121737, 0.187122, 0.265825, 0.334606, 0.260918, 0.182743,
    0.645647, 0.714428, 0.793132, 0.858516, 0.79751, 0.719335, 0.254149, 0.726104,
)
Y = (
    0.106454, 0.038915, 0.0187482, 0.0344891, 0.0773906, 0.0773906, 0.0344891, 0.0187482, 0.038915, 0.106454,
    0.203352, 0.307009, 0.409805, 0.515625, 0.587326, 0.609345, 0.628106, 0.609345, 0.587326,
    0.216423, 0.178758, 0.179852, 0.231733, 0.245099, 0.244077,
    0.231733, 0.179852, 0.178758, 0.216423, 0.244077, 0.245099, 0.780233, 0.780233,
)
# fmt: on
MEAN_FACE = np.stack([X, Y], axis=1)


def whole_face(points: NDArray[Any], size_px: int) -> NDArray[np.float64]:
    """Luma px to crop px, of the 33 points that DeepFaceLab looks at.

    The unit square's corners are found in the picture; from its middle, moved up by 7 % of its side, the
    crop's corners lie on its diagonals, each (0.4 sqrt 2 + 0.5) of a diagonal away.
    """
    to_unit = umeyama(points, MEAN_FACE)
    corners = apply(invert(to_unit), np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.5, 0.5]]))
    top_left, top_right, bottom_right, bottom_left, middle = corners
    diagonal = np.linalg.norm(top_left - bottom_right)
    falling = (bottom_right - top_left) / diagonal
    rising = (top_right - bottom_left) / np.linalg.norm(top_right - bottom_left)
    reach = diagonal * (0.4 * math.sqrt(2.0) + 0.5)
    middle = middle + 0.07 * (top_left - bottom_left)
    source = np.stack([middle - falling * reach, middle + rising * reach, middle + falling * reach])
    target = np.array([[0.0, 0.0], [size_px, 0.0], [size_px, size_px]])
    solved = np.linalg.solve(np.column_stack([source, np.ones(3)]), target)
    to_crop: NDArray[np.float64] = solved.T
    return to_crop


POINTS_68 = (*range(17, 49), 54)
MOVED = np.array([WHOLE_FACE[LANDMARK_OF[point]] for point in POINTS_68]) - (MEAN_FACE - [0.5, 0.43])


def test_landmarks_stand_for_the_points_that_the_formula_looks_at() -> None:
    assert tuple(LANDMARK_OF) == POINTS_68
    assert len(set(LANDMARK_OF.values())) == len(POINTS_68)
    assert set(LANDMARK_OF.values()) <= set(KEPT_POINTS)
    # By 5 % of the mean face at most, and as far on both sides of it.
    assert np.abs(MOVED).max() < 0.05
    other_side = {**{17 + n: 26 - n for n in range(10)}, **{31 + n: 35 - n for n in range(5)}, 48: 54}
    for one, other in other_side.items():
        a, b = (MOVED[POINTS_68.index(point)] for point in (one, other))
        np.testing.assert_allclose(a, b * [-1, 1], atol=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(16, 640), st.floats(0.0, 0.2), st.floats(0, 2 * math.pi))
def test_the_template_is_the_published_formula(seed: int, size_px: int, spread: float, roll: float) -> None:
    """For any face whose points lie beside the landmarks as the table says, in the aligned face."""
    random = np.random.default_rng(seed)
    turned = 180 * np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    shape = MEAN_FACE + random.normal(0, spread, MEAN_FACE.shape)
    landmarks = np.full((LANDMARK_COUNT, 2), np.nan)
    for point, place in zip(POINTS_68, shape, strict=True):
        landmarks[LANDMARK_OF[point]] = turned @ place + [400, 300]
    unmoved = {
        LANDMARK_OF[point]: tuple(place)
        for point, place in zip(POINTS_68, MEAN_FACE - [0.5, 0.43], strict=True)
    }
    found = crop_to_frame(landmarks, size_px=size_px, coverage=WHOLE_FACE_COVERAGE, template=unmoved)
    expected = whole_face(shape @ turned.T + [400, 300], size_px)
    np.testing.assert_allclose(invert(found), expected, rtol=1e-6, atol=1e-6)


@given(st.floats(0, 2 * math.pi), st.floats(20, 900))
def test_the_mean_face_lies_as_the_formula_lays_it(roll: float, unit_px: float) -> None:
    """Its landmarks are where the table says, beside its points."""
    turned = unit_px * np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    landmarks = np.full((LANDMARK_COUNT, 2), np.nan)
    landmarks[list(LANDMARK_OF.values())] = (MEAN_FACE + MOVED) @ turned.T + [700, 500]
    found = crop_to_frame(landmarks, size_px=256, coverage=WHOLE_FACE_COVERAGE, template=WHOLE_FACE)
    expected = whole_face(MEAN_FACE @ turned.T + [700, 500], 256)
    np.testing.assert_allclose(invert(found), expected, rtol=1e-6, atol=1e-6)
