"""Colour transforms do to real samples what they promise to do to their moments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crossface.engine import kernels
from crossface.engine.swap import colour_match
from crossface.engine.swap.colour_match import METHODS, Method, Statistics, curves, transform
from crossface.engine.swap.steady_match import Measured, SteadyMatch
from crossface.engine.swap.texture import Texture

# Rec. 709 luma, and the two differences that Cb and Cr are made of (ITU-R BT.709, items 3.2 and 3.3).
OPPONENT = np.array(
    [
        [0.2126, 0.7152, 0.0722],
        [-0.2126 / 1.8556, -0.7152 / 1.8556, 0.9278 / 1.8556],
        [0.7874 / 1.5748, -0.7152 / 1.5748, -0.0722 / 1.5748],
    ]
)


def colours(seed: int, spread: float = 0.1) -> NDArray[np.float64]:
    """Samples ``[1000, 3]`` with correlated channels, as skin has."""
    rng = np.random.default_rng(seed)
    mixing = spread * (np.eye(3) + 0.4 * rng.normal(size=(3, 3)))
    return rng.uniform(0.2, 0.8, 3) + rng.normal(size=(1000, 3)) @ mixing.T


def statistics(samples: NDArray[Any]) -> Statistics:
    ranks = (np.arange(colour_match.QUANTILES) + 0.5) / colour_match.QUANTILES
    quantiles = np.quantile(samples @ colour_match.OPPONENT.T, ranks, axis=0).T
    return Statistics(samples.mean(0), np.cov(samples.T, bias=True), quantiles)


def recoloured(matched: NDArray[np.float32], samples: NDArray[Any]) -> NDArray[np.float64]:
    """By the kernel."""
    picture = np.ascontiguousarray(samples.T.reshape(3, 25, -1), np.float32)
    ends = colour_match.CURVE_LOW, colour_match.CURVE_HIGH
    changed = kernels.recolour(picture, colour_match.OPPONENT, matched, *ends)
    return changed.reshape(3, -1).T.astype(np.float64)


def applied(matrix: NDArray[Any], samples: NDArray[Any]) -> NDArray[np.float64]:
    matched: NDArray[np.float64] = samples @ matrix[:, :3].T + matrix[:, 3]
    return matched


@pytest.mark.parametrize("method", METHODS)
def test_equal_colours_stay_as_they_are(method: Method) -> None:
    same = statistics(colours(4))
    np.testing.assert_allclose(transform(method, same, same), np.eye(3, 4), atol=1e-9)


@given(st.integers(0, 10_000))
def test_none_changes_nothing(seed: int) -> None:
    drawn, source = statistics(colours(seed)), statistics(colours(seed + 1))
    np.testing.assert_array_equal(transform("none", drawn, source), np.eye(3, 4))


@given(st.integers(0, 10_000), st.sampled_from(["mean", "reinhard", "mkl"]), st.floats(0.001, 0.4))
def test_the_mean_always_matches(seed: int, method: Method, spread: float) -> None:
    drawn, source = colours(seed), colours(seed + 1, spread)
    matched = applied(transform(method, statistics(drawn), statistics(source)), drawn)
    np.testing.assert_allclose(matched.mean(0), source.mean(0), atol=1e-9)


def test_mean_only_shifts() -> None:
    drawn, source = colours(1), colours(2)
    matched = applied(transform("mean", statistics(drawn), statistics(source)), drawn)
    np.testing.assert_allclose(np.cov(matched.T), np.cov(drawn.T), atol=1e-12)


@given(st.integers(0, 10_000), st.floats(0.88, 1.13))
def test_reinhard_matches_deviations_of_luma_and_colour_differences(seed: int, gain: float) -> None:
    drawn = colours(seed)
    source = (drawn @ OPPONENT.T * [gain, 1.0, 1 / gain]) @ np.linalg.inv(OPPONENT).T + 0.1
    matched = applied(transform("reinhard", statistics(drawn), statistics(source)), drawn)
    np.testing.assert_allclose(
        (matched @ OPPONENT.T).std(0), (source @ OPPONENT.T).std(0), rtol=0.005, atol=1e-3
    )


@given(st.integers(0, 10_000))
def test_mkl_matches_the_whole_covariance(seed: int) -> None:
    drawn = colours(seed)
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    mild = turn @ np.diag(rng.uniform(0.75, 1.12, 3)) @ turn.T
    source = drawn @ OPPONENT.T @ mild @ np.linalg.inv(OPPONENT).T + 0.1
    matched = applied(transform("mkl", statistics(drawn), statistics(source)), drawn)
    np.testing.assert_allclose(np.cov(matched.T), np.cov(source.T), atol=3e-4)
    linear = (
        OPPONENT @ transform("mkl", statistics(drawn), statistics(source))[:, :3] @ np.linalg.inv(OPPONENT)
    )
    np.testing.assert_allclose(linear, linear.T, atol=1e-3, err_msg="the optimal transport is symmetric")


@given(st.integers(0, 10_000), st.sampled_from(["reinhard", "mkl"]), st.floats(1e-6, 3.0))
def test_gains_are_limited(seed: int, method: Method, spread: float) -> None:
    """A flat face is not stretched into noise, nor is a lively one made flat."""
    linear = transform(method, statistics(colours(seed, 0.05)), statistics(colours(seed + 1, spread)))[:, :3]
    gains = np.abs(np.linalg.eigvals(linear))
    assert gains.min() > 0.5 and gains.max() < 2.0


@given(st.integers(0, 10_000), st.floats(0.5, 2.5), st.floats(0.0, 0.1), st.floats(0.0, 0.1))
def test_luma_is_stretched_no_further_than_features_bear(
    seed: int, gain: float, features: float, plates: float
) -> None:
    """Skin's contrast is the plate's as far as the rest of the face has it so; mean and hue do not care."""
    samples = colours(seed, 0.05)
    drawn, source = statistics(samples), statistics(0.5 + gain * (samples - samples.mean(0)))
    skin = [colour_match.luma_variance(each.covariance) for each in (drawn, source)]
    whole = skin[0] + features**2, skin[1] + plates**2
    told = [replace(each, contrast=of) for each, of in zip((drawn, source), whole, strict=True)]
    linear = transform("reinhard", *told)[:, :3]
    luma = (applied(np.column_stack([linear, np.zeros(3)]), samples) @ OPPONENT[0]).std()
    found = luma / (samples @ OPPONENT[0]).std()
    bound = np.sqrt(whole[1] / whole[0])
    # Flat skin makes nothing faint that the whole face has as strong.
    wanted = max(min(max(gain, min(bound, 1.0)), bound), 0.6)
    assert found <= wanted * 1.01
    if plates <= features:
        assert found < 1.01, "nothing is stretched whose features are strong enough"
    elif gain <= 1:
        assert found == pytest.approx(wanted, rel=0.01)
    plain = OPPONENT @ transform("reinhard", drawn, source)[:, :3] @ np.linalg.inv(OPPONENT)
    calmed = OPPONENT @ linear @ np.linalg.inv(OPPONENT)
    np.testing.assert_allclose(calmed[1:], plain[1:], atol=2e-4)


@pytest.mark.parametrize("method", METHODS)
def test_one_flat_colour_gives_finite_numbers(method: Method) -> None:
    flat = Statistics(np.full(3, 0.5), np.zeros((3, 3)))
    for drawn, source in ((flat, statistics(colours(0))), (statistics(colours(0)), flat), (flat, flat)):
        assert np.isfinite(transform(method, drawn, source)).all()


def test_steady_match_damps_a_flash_and_forgets_it_at_a_cut() -> None:
    calm, flash, drawn = statistics(colours(1)), statistics(colours(1) + 0.2), statistics(colours(2))
    match = SteadyMatch("mean")
    before = match.update(Measured(0, 0, 7, drawn, calm)).colour
    np.testing.assert_allclose(before, transform("mean", drawn, calm))
    during = match.update(Measured(1, 0, 7, drawn, flash)).colour
    step = (during - before)[:, 3]
    assert (step > 0).all() and (step < 0.1).all(), "less than half of the flash in its first frame"
    for _ in range(40):
        settled = match.update(Measured(1, 0, 7, drawn, flash)).colour
    np.testing.assert_allclose(settled, transform("mean", drawn, flash), atol=1e-4)
    np.testing.assert_allclose(
        match.update(Measured(2, 1, 7, drawn, calm)).colour, before, err_msg="a new shot starts anew"
    )


def test_tracks_do_not_share_their_colours() -> None:
    drawn, left, right = (statistics(colours(n)) for n in (1, 2, 3))
    match = SteadyMatch("reinhard")
    for _ in range(3):
        np.testing.assert_allclose(
            match.update(Measured(0, 0, 0, drawn, left)).colour, transform("reinhard", drawn, left)
        )
        np.testing.assert_allclose(
            match.update(Measured(0, 0, 1, drawn, right)).colour, transform("reinhard", drawn, right)
        )


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_quantiles_are_those_of_numpy(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    samples = rng.normal(0.5, 0.2, (900, 3)).astype(np.float32)
    mask = (rng.random(900) < 0.7).astype(np.float32)
    picture = np.ascontiguousarray(samples.T.reshape(3, 30, 30))
    found = kernels.quantiles(picture, mask.reshape(30, 30), colour_match.OPPONENT, count)
    kept = samples[mask > 0] @ colour_match.OPPONENT.T
    ranks = (np.arange(count) + 0.5) / count
    expected = np.quantile(kept, ranks, axis=0, method="inverted_cdf").T
    # Bins are 1/512 wide, and a rank may lie between two samples.
    ends = [np.quantile(kept, np.clip(ranks + d, 0, 1), axis=0).T for d in (-0.01, 0.01)]
    assert ((found >= ends[0] - 0.003) & (found <= ends[1] + 0.003)).all()
    assert np.abs(found - expected).mean() < 0.01 and (np.diff(found) >= 0).all()


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.5, 2.0), st.floats(-0.1, 0.1))
def test_hist_takes_one_distribution_to_another(seed: int, power: float, shift: float) -> None:
    """Through any curve of moderate slope, which no affine transform would undo."""
    drawn = colours(seed, 0.05) @ OPPONENT.T
    bent = drawn + 0.15 * (power - 1) * np.sin(4 * drawn) / 4 + shift
    drawn, source = drawn @ np.linalg.inv(OPPONENT).T, bent @ np.linalg.inv(OPPONENT).T
    matched = recoloured(curves(statistics(drawn), statistics(source)), drawn) @ OPPONENT.T
    for channel in range(3):
        for rank in (0.1, 0.25, 0.5, 0.75, 0.9):
            got, wanted = (np.quantile(each[:, channel], rank) for each in (matched, bent))
            assert abs(got - wanted) < 0.008


def test_hist_of_equal_colours_changes_nothing_and_slopes_are_limited() -> None:
    samples = colours(3)
    same = curves(statistics(samples), statistics(samples))
    np.testing.assert_allclose(recoloured(same, samples), samples, atol=1e-5)
    for spread in (1e-4, 2.0):
        steep = curves(statistics(colours(4)), statistics(colours(5, spread)))
        slopes = np.diff(steep) / (3 / (steep.shape[1] - 1))
        assert slopes.min() > 0.7 and slopes.max() < 1.17


def test_beyond_its_ends_a_curve_goes_on() -> None:
    curve = np.tile(np.array([0.1, 0.6], np.float32), (3, 1))
    picture = np.array([-1.0, 0.0, 0.5, 1.0, 4.0], np.float32) * np.ones((3, 1, 1), np.float32)
    changed = kernels.recolour(picture, np.eye(3), curve, 0.0, 1.0)
    np.testing.assert_allclose(changed[1, 0], [-0.9, 0.1, 0.35, 0.6, 3.6], atol=1e-6)


def test_texture_and_quantiles_are_steady_too() -> None:
    match = SteadyMatch("hist")
    drawn, dim, bright = (statistics(colours(n)) for n in (1, 2, 3))
    first = match.update(Measured(0, 0, 1, drawn, dim, Texture(1.0, 2.0, 6.0, 7.0, 3.0, 4.0)))
    second = match.update(Measured(1, 0, 1, drawn, bright, Texture(5.0, 2.0, 6.0, 3.0, 3.0, 8.0)))
    assert first.texture == Texture(1.0, 2.0, 6.0, 7.0, 3.0, 4.0)
    assert second.texture == Texture(2.0, 2.0, 6.0, 6.0, 3.0, 5.0)
    assert dim.quantiles is not None and bright.quantiles is not None
    halfway = statistics(colours(2)).mixed(bright, 0.25)
    np.testing.assert_allclose(halfway.quantiles, 0.75 * dim.quantiles + 0.25 * bright.quantiles)
    np.testing.assert_allclose(second.curves, curves(drawn, halfway))
    np.testing.assert_array_equal(second.colour, np.eye(3, 4))
