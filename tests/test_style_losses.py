"""Losses beyond the plain ones of a drawn face: scales, Charbonnier, style, and how they are asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from crossface.engine.errors import UsageError
from crossface.training.augment import Batch
from crossface.training.losses import (
    LossSettings,
    background_style,
    charbonnier,
    dssim,
    face_loss,
    face_style,
    loss_settings,
    multi_scale_dssim,
    window_px,
)


def _pictures(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def _disc(size_px: int) -> torch.Tensor:
    centre = torch.arange(size_px) + 0.5 - size_px / 2
    inside = centre[None] ** 2 + centre[:, None] ** 2 < (0.3 * size_px) ** 2
    return inside.float().expand(1, 1, -1, -1)


def test_each_scale_is_the_one_before_by_twos() -> None:
    x, y, weight = _pictures(1, 1, 3, 32, 32), _pictures(2, 1, 3, 32, 32), _pictures(3, 1, 1, 32, 32)

    def halved(image: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(image.numpy().reshape(1, -1, 16, 2, 16, 2).mean(axis=(3, 5)))

    halves = halved(x), halved(y), halved(weight)
    expected = (float(dssim(x, y, weight, 5)) + float(dssim(*halves, 5))) / 2
    assert float(multi_scale_dssim(x, y, weight, 5, 2)) == pytest.approx(expected, abs=1e-6)
    assert torch.equal(multi_scale_dssim(x, y, weight, 5, 1), dssim(x, y, weight, 5))


def test_charbonnier_is_the_distance_far_away_and_flat_where_it_is_right() -> None:
    y = torch.tensor([[[[0.0, 0.5, 0.5]]]])
    x = torch.tensor([[[[0.4, 0.5, 0.9]]]], requires_grad=True)
    weight = torch.tensor([[[[1.0, 1.0, 0.0]]]])
    loss = charbonnier(x, y, weight)
    loss.backward()
    assert loss.item() == pytest.approx((math.hypot(0.4, 1e-3) - 1e-3) / 2, rel=1e-5)
    assert x.grad is not None
    torch.testing.assert_close(x.grad.flatten(), torch.tensor([0.5, 0.0, 0.0]), atol=1e-5, rtol=0)


def test_only_what_surrounds_the_face_is_background() -> None:
    face, mask = _pictures(4, 1, 3, 64, 64), _disc(64)
    swapped = face * (1 - mask) + (1 - face) * mask
    # Structure is judged under a window, which looks a little over the edge.
    assert float(background_style(swapped, face, mask)) < 0.02
    assert float(background_style(face, face, mask)) == pytest.approx(0, abs=1e-6)
    turned = face * mask + (1 - face) * (1 - mask)
    away = float(((1 - 2 * face).abs() * (1 - mask)).sum() / (3 * (1 - mask).sum()))
    structure = float(dssim(turned, face, 1 - mask, window_px(64)))
    assert float(background_style(turned, face, mask)) == pytest.approx((structure + away) / 2, abs=1e-5)


def test_face_style_is_what_scipy_says_of_local_moments() -> None:
    x, y, mask = _pictures(5, 1, 3, 64, 64), _pictures(6, 1, 3, 64, 64) ** 2, _disc(64)
    window = 9
    radius, sigma = window // 2, window * 1.5 / 11
    share = mask[0, 0].numpy().astype(np.float64)

    def blur(image: np.ndarray) -> np.ndarray:
        # Normalised again where the window is cut, which the face here does not reach.
        return ndimage.gaussian_filter(image, sigma, radius=radius, mode="constant")

    def moments(image: torch.Tensor) -> np.ndarray:
        made = []
        for channel in image[0].double().numpy():
            mean = blur(channel * share) / np.maximum(blur(share), 1e-3)
            square = blur(channel**2 * share) / np.maximum(blur(share), 1e-3)
            made.append([mean, np.sqrt(np.maximum(square - mean**2, 0) + 1e-4)])
        return np.array(made)

    expected = (np.abs(moments(x) - moments(y)).sum(axis=1) * share).sum() / (3 * share.sum())
    assert float(face_style(x, y, mask)) == pytest.approx(expected, abs=1e-4)


def test_style_is_light_and_neither_features_nor_what_is_outside() -> None:
    mask = _disc(64)
    across = torch.arange(64.0)
    stripes = (0.5 + 0.2 * torch.cos(2 * torch.pi * across / 4)).expand(1, 3, 64, 64)
    moved = stripes.roll(2, dims=-1)
    darker, flat = stripes - 0.1, torch.full_like(stripes, 0.5)
    outside = stripes * mask + (1 - mask)
    assert float(face_style(stripes, stripes, mask)) == 0
    assert float(face_style(outside, stripes, mask)) == pytest.approx(0, abs=1e-5)
    assert float(face_style(darker, stripes, mask)) == pytest.approx(0.1, abs=0.005)
    # 0.2 / sqrt(2) is the deviation of the stripes.
    assert float(face_style(flat, stripes, mask)) == pytest.approx(0.131, abs=0.02)
    assert float(face_style(moved, stripes, mask)) < 0.4 * float(face_style(flat, stripes, mask))


def test_flat_faces_have_a_style_whose_gradient_is_a_number() -> None:
    flat = torch.full((1, 3, 32, 32), 0.5, requires_grad=True)
    face_style(flat, torch.zeros(1, 3, 32, 32), _disc(32)).backward()
    assert flat.grad is not None and bool(torch.isfinite(flat.grad).all())


def test_a_weight_counts_its_loss_and_nothing_else() -> None:
    target, drawn = _pictures(7, 2, 3, 64, 64), _pictures(8, 2, 4, 64, 64)
    batch = Batch(target, target, _disc(64).expand(2, -1, -1, -1), _pictures(9, 2, 1, 64, 64))
    none = LossSettings(dssim=0, l1=0, mask=0)
    assert float(face_loss(drawn, batch, none)) == 0
    parts = [
        float(face_loss(drawn, batch, LossSettings(**{"dssim": 0, "l1": 0, "mask": 0, **{name: weight}})))
        for name, weight in (("dssim", 2.0), ("l1", 2.0), ("mask", 0.5))
    ]
    assert all(part > 0 for part in parts)
    assert float(face_loss(drawn, batch)) == pytest.approx(sum(parts), rel=1e-6)
    added = float(face_loss(drawn, batch, LossSettings(charbonnier=0.3))) - sum(parts)
    inside = batch.mask * (1 + 2 * batch.priority)
    alone = float(charbonnier(drawn[:, :3], target, inside + 0.1 * (1 - batch.mask)))
    assert added == pytest.approx(0.3 * alone, abs=1e-5)


def test_settings_are_told_by_name() -> None:
    told = loss_settings(["code-moments=0.25", "l1=0", "patch_critic=1e-2", "scales=3"])
    assert told == LossSettings(code_moments=0.25, l1=0, patch_critic=0.01, scales=3)
    assert isinstance(told.scales, int)
    assert loss_settings([]) == LossSettings()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("beauty=1", "no such loss: there are dssim, l1"),
        ("l1", "l1=NUMBER"),
        ("l1=much", "l1=NUMBER"),
        ("l1=-1", "no weight"),
        ("l1=nan", "no weight"),
        ("scales=0", "no count"),
        ("scales=1.5", "no count"),
        ("patch-critic-from=2", "from 0 to 1"),
    ],
)
def test_settings_that_mean_nothing_are_refused(change: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        loss_settings([change])
