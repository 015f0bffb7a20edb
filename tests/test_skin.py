"""Skin is told by colour: what is none takes no part in a match, and what is skin does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crossface.engine import kernels
from crossface.engine.swap.colour_match import transform
from crossface.engine.swap.skin import find_skin

SIZE = 64
SKIN_TONE, HER_TONE = np.array([0.62, 0.45, 0.38]), np.array([0.5, 0.42, 0.4])
MASK = np.ones((SIZE, SIZE), np.float32)


def face(tone: NDArray[Any], seed: int, spread: float = 0.06) -> NDArray[np.float32]:
    """Skin in uneven light: all channels darker or brighter, and each a little by itself."""
    rng = np.random.default_rng(seed)
    light = rng.normal(0, spread, (1, SIZE, SIZE))
    return (tone[:, None, None] * (1 + light) + rng.normal(0, 0.008, (3, SIZE, SIZE))).astype(np.float32)


def biweight(picture: NDArray[Any], mask: NDArray[Any], spread: float) -> NDArray[np.float64]:
    """By the formula, of one picture."""
    pixels, weights = picture.reshape(3, -1).astype(np.float64), mask.reshape(-1).astype(np.float64)
    mean = (pixels * weights).sum(1) / weights.sum()
    offsets = pixels - mean[:, None]
    covariance = spread * (offsets * weights) @ offsets.T / weights.sum() + 1e-5 * np.eye(3)
    squared = np.einsum("in,ij,jn->n", offsets, np.linalg.inv(covariance), offsets)
    shares: NDArray[np.float64] = np.maximum(1 - squared / 16, 0.0) ** 2
    return shares.reshape(mask.shape)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.5, 3.0))
def test_the_kernel_weighs_by_tukeys_biweight_in_both_pictures(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    drawn, source = (rng.normal(0.5, 0.2, (3, 17, 17)).astype(np.float32) for _ in range(2))
    mask = np.maximum(rng.normal(0.3, 0.4, (17, 17)), 0).astype(np.float32)
    of_drawn, of_source = kernels.stats(drawn, mask), kernels.stats(source, mask)
    found = kernels.skin(drawn, source, mask, of_drawn, of_source, spread)
    expected = mask * biweight(drawn, mask, spread) * biweight(source, mask, spread)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    some = kernels.skin(drawn, source, mask, of_drawn, of_source, spread, row_step=3)
    np.testing.assert_array_equal(some[::3], found[::3])
    assert not some[1::3].any() and not some[2::3].any()
    nothing = kernels.stats(drawn, 0 * mask)
    np.testing.assert_array_equal(kernels.skin(drawn, source, mask, nothing, nothing, spread), mask)


@settings(max_examples=25)
@given(
    st.integers(0, 10_000),
    st.floats(0.0, 0.25),
    st.tuples(*[st.floats(0.0, 1.0)] * 3),
    st.sampled_from(["drawn", "source", "both"]),
)
def test_a_background_under_the_mask_does_not_tint(
    seed: int, share: float, colour: tuple[float, float, float], where: str
) -> None:
    """Up to a quarter of any colour: the match is the one that skin alone gives."""
    drawn, source = face(HER_TONE, seed), face(SKIN_TONE, seed + 1)
    rows, below = int(share * SIZE), MASK.copy()
    below[:rows] = 0
    clean = find_skin(drawn, source, below)
    for picture, name in ((drawn, "drawn"), (source, "source")):
        if where in (name, "both"):
            picture[:, :rows] = np.array(colour, np.float32)[:, None, None]
    found = find_skin(drawn, source, MASK)
    assert found is not None and clean is not None
    for got, wanted, tone in ((found.drawn, clean.drawn, HER_TONE), (found.source, clean.source, SKIN_TONE)):
        distance = np.abs(np.array(colour) - tone).max()
        # What is near skin in colour is taken for skin, and can move the mean but a little.
        assert np.abs(got.mean - wanted.mean).max() < (0.02 if distance < 0.3 else 0.008)
    moved = transform("mean", found.drawn, found.source)[:, 3]
    assert np.abs(moved - (SKIN_TONE - HER_TONE)).max() < 0.025


def test_brows_eyes_and_mouth_take_no_part() -> None:
    drawn, source = face(HER_TONE, 1), face(SKIN_TONE, 2)
    for picture in (drawn, source):
        picture[:, 16:20, 10:54] = 0.12  # brows
        picture[:, 22:27, 12:26] = picture[:, 22:27, 38:52] = 0.85  # eyes
        picture[:, 46:54, 22:42] = np.array([0.5, 0.15, 0.18])[:, None, None]  # a mouth
    found = find_skin(drawn, source, MASK)
    assert found is not None
    assert max(found.mask[17:19, 12:52].max(), found.mask[24, 14:24].max(), found.mask[50, 25:40].max()) == 0
    np.testing.assert_allclose(found.source.mean, SKIN_TONE, atol=0.004)
    np.testing.assert_allclose(found.drawn.mean, HER_TONE, atol=0.004)


def test_where_one_has_a_beard_neither_counts() -> None:
    """Light from above: compared at other places, the two would seem to be lit differently."""
    falling = np.linspace(1.15, 0.85, SIZE, dtype=np.float32)[:, None]
    drawn, source = face(HER_TONE, 3) * falling, face(SKIN_TONE, 4) * falling
    bearded = source.copy()
    bearded[:, 50:] = 0.15
    found = find_skin(drawn, bearded, MASK)
    assert found is not None and found.mask[50:].max() == 0
    gain = found.source.mean / found.drawn.mean
    np.testing.assert_allclose(gain, SKIN_TONE / HER_TONE, rtol=0.02)


def test_skin_in_bright_and_dim_light_stays() -> None:
    found = find_skin(face(HER_TONE, 5, 0.2), face(SKIN_TONE, 6, 0.2), MASK)
    assert found is not None and found.mask.mean() > 0.35
    flat = np.broadcast_to(SKIN_TONE.astype(np.float32)[:, None, None], (3, SIZE, SIZE))
    found = find_skin(flat, flat, MASK)
    assert found is not None
    np.testing.assert_allclose(found.mask, 1.0, atol=1e-5)
    assert find_skin(flat, flat, 0 * MASK) is None


def test_the_whole_faces_contrast_is_told_too_and_skin_need_not_be_sought() -> None:
    drawn, source = face(HER_TONE, 7), face(SKIN_TONE, 8)
    drawn[:, 16:20, 10:54] = 0.1
    luma = np.einsum("c,cyx->yx", [0.2126, 0.7152, 0.0722], drawn.astype(np.float64))
    sought, all_of_it = find_skin(drawn, source, MASK), find_skin(drawn, source, MASK, search=False)
    assert sought is not None and all_of_it is not None
    assert sought.drawn.contrast == pytest.approx(luma.var(), rel=1e-3)
    assert all_of_it.drawn.contrast == sought.drawn.contrast
    np.testing.assert_array_equal(all_of_it.mask, MASK)
    np.testing.assert_allclose(all_of_it.drawn.mean, drawn.mean((1, 2)), atol=1e-5)
