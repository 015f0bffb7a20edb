"""The similarity transform against closed-form cases and an independent solution, and on to the frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from crossface.engine.face.align import (
    LANDMARK_COUNT,
    TEMPLATE,
    apply,
    crop_to_frame,
    display_matrix,
    invert,
    similarity,
)

SIZE_PX, COVERAGE = 128, 1.5


def umeyama(source: NDArray[Any], target: NDArray[Any]) -> NDArray[Any]:
    """Equations 38 to 42 of Umeyama 1991: by singular values, reflections excluded."""
    from_mean, to_mean = source.mean(0), target.mean(0)
    covariance = (target - to_mean).T @ (source - from_mean) / len(source)
    u, singular, vt = np.linalg.svd(covariance)
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(signs) @ vt
    scale = (singular * signs).sum() / source.var(0).sum()
    return np.column_stack([scale * rotation, to_mean - scale * rotation @ from_mean])


def points(seed: int, count: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, 50, (count, 2))


def rotation_matrix(degrees: float) -> NDArray[np.float64]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s], [s, c]])


def template_places() -> NDArray[np.float64]:
    """The template in a crop's px, from the definition: face heights from the crop's centre."""
    return np.array(
        [[SIZE_PX * (0.5 + x / COVERAGE), SIZE_PX * (0.5 + y / COVERAGE)] for x, y in TEMPLATE.values()]
    )


def face_at(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """468 landmarks of which only the template's are known."""
    landmarks = np.full((LANDMARK_COUNT, 2), np.nan)
    landmarks[list(TEMPLATE)] = places
    return landmarks


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ([[0, 0], [1, 0], [0, 1]], [[1, 0, 0], [0, 1, 0]]),
        ([[5, -2], [6, -2], [5, -1]], [[1, 0, 5], [0, 1, -2]]),
        ([[0, 0], [3, 0], [0, 3]], [[3, 0, 0], [0, 3, 0]]),
        # A quarter turn takes x to y, and y to minus x.
        ([[0, 0], [0, 1], [-1, 0]], [[0, -1, 0], [1, 0, 0]]),
        ([[7, 7], [7, 7], [7, 7]], [[0, 0, 7], [0, 0, 7]]),
    ],
)
def test_closed_form_cases(target: list[list[float]], expected: list[list[float]]) -> None:
    found = similarity(np.array([[0.0, 0], [1, 0], [0, 1]]), np.array(target, float))
    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(
    st.integers(0, 10_000),
    st.integers(2, 40),
    st.floats(0.01, 100),
    st.floats(-180, 180),
    st.floats(-1e4, 1e4),
    st.floats(-1e4, 1e4),
)
def test_a_similarity_is_recovered(
    seed: int, count: int, scale: float, degrees: float, x: float, y: float
) -> None:
    truth = np.column_stack([scale * rotation_matrix(degrees), [x, y]])
    source = points(seed, count)
    found = similarity(source, apply(truth, source))
    np.testing.assert_allclose(found[:, :2], truth[:, :2], rtol=0, atol=1e-9 * max(scale, 1))
    np.testing.assert_allclose(apply(found, source), apply(truth, source), atol=1e-9 * 1e4)


@given(st.integers(0, 10_000), st.integers(3, 40), st.floats(0.0, 100.0))
def test_noisy_points_agree_with_umeyama(seed: int, count: int, noise: float) -> None:
    source = points(seed, count)
    target = source @ rotation_matrix(40).T * 1.7 + noise * points(seed + 1, count) / 50
    np.testing.assert_allclose(similarity(source, target), umeyama(source, target), rtol=1e-7, atol=1e-7)


def test_mirrored_points_give_no_mirror() -> None:
    source = points(1, 12)
    assert np.linalg.det(similarity(source, source * [-1, 1])[:, :2]) >= 0


@pytest.mark.parametrize(
    "source", [np.zeros((5, 2)), np.full((3, 2), 7.5), np.array([[0, 0], [np.nan, 1], [2, 2]])]
)
def test_points_without_a_similarity_are_refused(source: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="similarity"):
        similarity(source, points(0, len(source)))


def test_landmarks_without_a_place_are_refused() -> None:
    for landmarks in (np.zeros((LANDMARK_COUNT, 2)), np.full((LANDMARK_COUNT, 2), np.nan)):
        with pytest.raises(ValueError):
            crop_to_frame(landmarks, size_px=SIZE_PX, coverage=COVERAGE)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("aspect", [1.0, 2.0, 16 / 15])
def test_a_face_upright_on_the_display_is_upright_in_the_crop(rotation: int, aspect: float) -> None:
    """A face that a player shows as the template, turned by 10 degrees, maps onto the template."""
    turned = 3.0 * rotation_matrix(10)
    shown = template_places() @ turned.T + [300, 200]
    # What was coded: the display's steps backwards, a counter-clockwise turn on a screen where y points down.
    unturned = shown @ rotation_matrix(rotation).T
    coded = unturned / [aspect, 1.0]

    matrix = crop_to_frame(
        face_at(coded), size_px=SIZE_PX, coverage=COVERAGE, display=display_matrix(aspect, rotation)
    )
    np.testing.assert_allclose(apply(matrix, template_places()), coded, atol=1e-8)
    linear = display_matrix(aspect, rotation) @ matrix[:, :2]
    np.testing.assert_allclose(linear, turned, atol=1e-9)


@pytest.mark.parametrize(("rotation", "corner"), [(0, (1, 0)), (90, (0, -1)), (180, (-1, 0)), (270, (0, 1))])
def test_rotation_is_counter_clockwise_to_the_eye(rotation: int, corner: tuple[float, float]) -> None:
    """What pointed right points up after 90 degrees."""
    np.testing.assert_allclose(display_matrix(1.0, rotation) @ [1.0, 0.0], corner, atol=1e-12)


def test_coverage_is_the_crop_over_the_face() -> None:
    """The template's unit is the face's height: a crop of twice the coverage shows the face half as large."""
    face = face_at(template_places())
    near = crop_to_frame(face, size_px=SIZE_PX, coverage=COVERAGE)
    far = crop_to_frame(face, size_px=SIZE_PX, coverage=2 * COVERAGE)
    np.testing.assert_allclose(near, [[1, 0, 0], [0, 1, 0]], atol=1e-9)
    np.testing.assert_allclose(far, [[2, 0, -SIZE_PX / 2], [0, 2, -SIZE_PX / 2]], atol=1e-9)


@given(st.integers(0, 1000))
def test_invert_undoes(seed: int) -> None:
    matrix = np.random.default_rng(seed).normal(0, 1, (2, 3)) + 3 * np.eye(2, 3)
    places = points(seed, 5)
    np.testing.assert_allclose(apply(invert(matrix), apply(matrix, places)), places, atol=1e-6)
