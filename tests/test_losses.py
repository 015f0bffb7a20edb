"""Losses against values worked out by hand or in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crossface.training.augment import Batch
from crossface.training.losses import dssim, face_loss, mask_loss, masked_l1, window_px


def _pictures(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def _ssim_map(x: NDArray[np.float64], y: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """SSIM from its definition, one pixel at a time; the window is cut at the border."""
    reach, sigma = window // 2, 1.5 * window / 11
    height, width = x.shape
    result = np.empty_like(x)
    for row in range(height):
        for column in range(width):
            top, left = max(0, row - reach), max(0, column - reach)
            bottom, right = min(height, row + reach + 1), min(width, column + reach + 1)
            v, u = np.mgrid[top:bottom, left:right]
            weight = np.exp(-((v - row) ** 2 + (u - column) ** 2) / (2 * sigma**2))
            weight /= weight.sum()
            p, q = x[top:bottom, left:right], y[top:bottom, left:right]
            mp, mq = (weight * p).sum(), (weight * q).sum()
            vp, vq = (weight * (p - mp) ** 2).sum(), (weight * (q - mq) ** 2).sum()
            cov = (weight * (p - mp) * (q - mq)).sum()
            structure = (2 * cov + 0.0009) / (vp + vq + 0.0009)
            result[row, column] = (2 * mp * mq + 0.0001) / (mp**2 + mq**2 + 0.0001) * structure
    return result


@pytest.mark.parametrize("window", [5, 11])
def test_dssim_agrees_with_the_definition(window: int) -> None:
    x, y, weight = _pictures(1, 2, 3, 20, 17), _pictures(2, 2, 3, 20, 17), _pictures(3, 2, 1, 20, 17)
    y = (x + y) / 2
    total = sum(
        (
            (1 - _ssim_map(x[n, c].double().numpy(), y[n, c].double().numpy(), window))
            / 2
            * weight[n, 0].numpy()
        ).sum()
        for n in range(2)
        for c in range(3)
    )
    expected = total / (3 * float(weight.sum()))
    assert float(dssim(x, y, weight, window)) == pytest.approx(expected, abs=2e-5)


def test_dssim_of_flat_pictures_is_the_difference_of_their_means() -> None:
    x, y = torch.full((1, 3, 16, 16), 0.2), torch.full((1, 3, 16, 16), 0.6)
    expected = (1 - (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)) / 2
    assert float(dssim(x, y, torch.ones(1, 1, 16, 16), 5)) == pytest.approx(expected, abs=1e-3)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_dssim_is_symmetric_and_within_its_range(seed: int) -> None:
    x, y = _pictures(seed, 1, 3, 16, 16), _pictures(seed + 1, 1, 3, 16, 16)
    weight = torch.ones(1, 1, 16, 16)
    there, back = float(dssim(x, y, weight, 5)), float(dssim(y, x, weight, 5))
    assert 0 <= there <= 1
    assert there == pytest.approx(back, abs=1e-6)
    assert float(dssim(x, x, weight, 5)) == pytest.approx(0, abs=1e-6)


def test_dssim_stays_exact_under_autocast() -> None:
    x, y, weight = _pictures(4, 1, 3, 32, 32), _pictures(5, 1, 3, 32, 32), torch.ones(1, 1, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = dssim(x, y, weight, 5)
    assert under.dtype == torch.float32
    assert torch.equal(under, dssim(x, y, weight, 5))


def test_l1_counts_by_weight() -> None:
    x = torch.tensor([[[[0.0, 0.0]], [[0.0, 0.0]]]])
    y = torch.tensor([[[[0.1, 1.0]], [[0.3, 1.0]]]])
    assert float(masked_l1(x, y, torch.tensor([[[[1.0, 0.0]]]]))) == pytest.approx(0.2)
    assert float(masked_l1(x, y, torch.tensor([[[[3.0, 1.0]]]]))) == pytest.approx((3 * 0.2 + 1) / 4)
    assert float(masked_l1(x, y, torch.zeros(1, 1, 1, 2))) == 0


def test_mask_loss_is_a_mean_difference() -> None:
    assert float(mask_loss(torch.tensor([[[[0.5, 1.0]]]]), torch.tensor([[[[1.0, 1.0]]]]))) == pytest.approx(
        0.25
    )


@pytest.mark.parametrize("size_px", [64, 128])
def test_a_perfect_face_costs_nothing_and_eyes_cost_more_than_cheeks(size_px: int) -> None:
    target = _pictures(6, 1, 3, size_px, size_px)
    mask, priority = torch.zeros(1, 1, size_px, size_px), torch.zeros(1, 1, size_px, size_px)
    quarter = size_px // 4
    mask[..., quarter:-quarter, :] = 1
    priority[..., quarter:-quarter, :quarter] = 1
    batch = Batch(target, target, mask, priority)
    drawn = torch.cat((target, mask), dim=1)
    assert float(face_loss(drawn, batch)) == pytest.approx(0, abs=1e-5)

    def cost(rows: slice, columns: slice) -> float:
        wrong = drawn.clone()
        wrong[:, :3, rows, columns] = 1 - wrong[:, :3, rows, columns]
        return float(face_loss(wrong, batch))

    inside = slice(quarter, 2 * quarter)
    eye, cheek = cost(inside, slice(0, quarter)), cost(inside, slice(-quarter, None))
    assert eye > 1.5 * cheek > 1.5 * 2 * cost(slice(0, quarter), slice(-quarter, None)) > 0


def test_windows_are_odd_and_near_an_eleventh() -> None:
    assert [window_px(size) for size in (64, 128, 256)] == [5, 11, 23]
