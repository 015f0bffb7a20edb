"""Losses against values worked out by hand or in NumPy, and augmentation against its own promises."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crossface.training.augment import Augmentation, Batch, augment
from crossface.training.losses import dssim, face_loss, mask_loss, masked_l1, window_px
from crossface.training.seeds import generator

STILL = Augmentation(**{field.name: 0.0 for field in dataclasses.fields(Augmentation)})


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


def _faces(count: int = 6, side_px: int = 80) -> torch.Tensor:
    """Smooth pictures whose red is their mask and whose green is their priority."""
    centre = (torch.arange(side_px) + 0.5) / side_px - 0.5
    disc = (0.35 - (centre[None] ** 2 + (centre[:, None] - 0.05) ** 2).sqrt()).mul(8).clamp(0, 1)
    ramp = (centre + 0.5).expand(side_px, side_px)
    face = torch.stack((disc, ramp, ramp.T, disc, ramp))
    return (face * 255).round().to(torch.uint8).expand(count, -1, -1, -1)


def test_augmentation_that_is_switched_off_only_crops() -> None:
    pixels = _faces()
    batch = augment(pixels, 0.8, 64, generator(1), STILL)
    middle = pixels[:, :, 8:-8, 8:-8].float() / 255
    for made, expected in ((batch.input, middle[:, :3]), (batch.target, middle[:, :3])):
        torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.mask, middle[:, 3:4], atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.priority, middle[:, 4:], atol=1e-5, rtol=0)


def test_mask_and_priority_move_with_the_target() -> None:
    moving = dataclasses.replace(Augmentation(), gain=0, gamma=0)
    batch = augment(_faces(), 0.8, 64, generator(2), moving)
    torch.testing.assert_close(batch.target[:, :1], batch.mask, atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.target[:, 1:2], batch.priority, atol=1e-5, rtol=0)
    still = augment(_faces(), 0.8, 64, generator(2), STILL)
    assert float((batch.priority - still.priority).abs().mean()) > 0.05


def test_warp_and_input_grading_leave_the_target_alone() -> None:
    plain = dataclasses.replace(
        Augmentation(), warp=0, input_gain=0, input_offset=0, input_contrast=0, grey=0, rough=0
    )
    full = augment(_faces(), 0.8, 64, generator(3))
    calm = augment(_faces(), 0.8, 64, generator(3), plain)
    assert torch.equal(full.target, calm.target)
    assert torch.equal(full.mask, calm.mask)
    torch.testing.assert_close(calm.input, calm.target, atol=1e-5, rtol=0)
    assert float((full.input - full.target).abs().mean()) > 0.02


def test_every_amount_changes_something_and_stays_in_range() -> None:
    for name in (field.name for field in dataclasses.fields(Augmentation)):
        # Noise falls on rough inputs only.
        before = dataclasses.replace(STILL, rough=1.0) if name == "noise" else STILL
        amount = 1.0 if name in ("flip", "grey", "rough") else getattr(Augmentation(), name)
        batch = augment(_faces(), 0.8, 64, generator(4), dataclasses.replace(before, **{name: amount}))
        still = augment(_faces(), 0.8, 64, generator(4), before)
        assert not torch.equal(batch.input, still.input), name
        assert all(float(part.min()) >= 0 and float(part.max()) <= 1 for part in batch), name


def test_the_same_place_draws_the_same_and_another_draws_otherwise() -> None:
    first, again, other = (
        augment(_faces(), 0.8, 64, generator(*place)) for place in ((7, 1), (7, 1), (7, 2))
    )
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.input, other.input)
