"""Damage and occluders against their definitions, worked out one block or one pixel at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn, idctn

from crossface.training.augment import Augmentation, augment
from crossface.training.damage import _CHROMA_STEPS, _LUMA_STEPS, compressed, rescaled
from crossface.training.draw import Draw
from crossface.training.occluders import Occluders
from crossface.training.seeds import generator


def _pictures(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def _smooth(count: int, side_px: int) -> torch.Tensor:
    small = _pictures(1, count, 3, 5, 5)
    return torch.nn.functional.interpolate(small, size=(side_px, side_px), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("quality", [10, 35, 50, 75, 95])
def test_grey_blocks_are_quantised_as_the_standard_says(quality: int) -> None:
    picture = _pictures(2, 1, 1, 16, 32)
    grey = picture.expand(-1, 3, -1, -1)
    made = compressed(grey, torch.tensor([float(quality)]))
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    steps = np.clip((np.array(_LUMA_STEPS).reshape(8, 8) * scale + 50) // 100, 1, 255)
    codes = picture[0, 0].double().numpy() * 255 - 127.5
    expected = np.empty_like(codes)
    for row in range(0, 16, 8):
        for column in range(0, 32, 8):
            block = (slice(row, row + 8), slice(column, column + 8))
            coefficients = dctn(codes[block], norm="ortho")
            expected[block] = idctn(np.round(coefficients / steps) * steps, norm="ortho")
    expected = np.clip((expected + 127.5) / 255, 0, 1)
    # A coefficient half way between two steps may fall to either side.
    assert np.mean(np.abs(made[0, 1].numpy() - expected) > 1e-4) < 0.05


def test_colour_suffers_more_than_light() -> None:
    assert sum(_CHROMA_STEPS) > sum(_LUMA_STEPS)
    picture = _smooth(1, 64)
    made = compressed(picture, torch.tensor([8.0]))
    luma = torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
    light = ((made - picture) * luma).sum(1).abs().mean()
    colour = ((made - picture) * (1 - luma)).abs().mean()
    assert float(colour) > float(light) > 0


@given(side_px=st.integers(9, 50), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_compression_keeps_shape_range_and_faces_apart(side_px: int, seed: int) -> None:
    pictures = _pictures(seed, 3, 3, side_px, side_px + 3)
    made = compressed(pictures, torch.tensor([5.0, 50.0, 100.0]))
    assert made.shape == pictures.shape and made.min() >= 0 and made.max() <= 1
    alone = compressed(pictures[1:2], torch.tensor([50.0]))
    torch.testing.assert_close(made[1:2], alone, atol=2e-5, rtol=0)


def test_better_quality_is_nearer() -> None:
    picture = _smooth(1, 64)
    off = [float((compressed(picture, torch.tensor([q])) - picture).abs().mean()) for q in (5.0, 30.0, 95.0)]
    assert off[0] > 1.5 * off[1] > 1.5 * off[2] and off[2] < 0.01


def test_a_picture_that_is_not_scaled_stays_as_it_is() -> None:
    pictures = _pictures(3, 2, 3, 40, 40)
    assert torch.equal(rescaled(pictures, torch.ones(2)), pictures)


def test_scaling_keeps_flat_and_smooth_and_loses_stripes() -> None:
    flat = torch.full((3, 1, 48, 48), 0.7)
    factors = torch.tensor([1.3, 2.0, 3.7])
    torch.testing.assert_close(rescaled(flat, factors), flat, atol=1e-5, rtol=0)
    ramp = ((torch.arange(48) + 0.5) / 48).expand(3, 1, 48, 48)
    inner = slice(8, -8)
    torch.testing.assert_close(
        rescaled(ramp, factors)[..., inner, inner], ramp[..., inner, inner], atol=0.01, rtol=0
    )
    stripes = (torch.arange(48) % 2).float().expand(3, 1, 48, 48)
    contrast = rescaled(stripes, factors)[..., inner, inner].std(dim=(1, 2, 3))
    assert contrast[1] < 0.02 and contrast[2] < 0.1 and contrast[0] < stripes.std()


def test_scaling_by_two_is_a_triangle_down_and_lines_up() -> None:
    picture = _pictures(4, 1, 1, 16, 16).double().numpy()[0, 0]

    def down_and_up(line: np.ndarray) -> np.ndarray:
        centres = 2 * np.arange(8) + 1.0
        at = np.arange(16) + 0.5
        small = []
        for centre in centres:
            weight = np.maximum(1 - np.abs(at - centre) / 2, 0)
            small.append((weight * line).sum() / weight.sum())
        return np.interp(at, centres, small)

    expected = np.apply_along_axis(down_and_up, 1, np.apply_along_axis(down_and_up, 0, picture))
    made = rescaled(torch.from_numpy(picture).float()[None, None], torch.tensor([2.0]))[0, 0].numpy()
    np.testing.assert_allclose(made, expected, atol=1e-5)


def _occluded(probability: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Faces of one flat colour each with what lies before them: cover, colours and faces."""
    faces = torch.linspace(0.1, 0.9, 40).reshape(-1, 1, 1, 1).expand(-1, 5, 20, 20)
    random = generator(9)
    occluders = Occluders(Draw(random, faces.device, 40), faces, probability, 0.8)
    centre = (torch.arange(64) + 0.5) / 32 - 1
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    points = torch.stack((x, y), dim=-1).expand(40, -1, -1, -1)
    return occluders.cover(points), occluders.colours(points), faces


def test_occluders_cover_a_part_of_some_faces() -> None:
    cover, _, _ = _occluded(0.5)
    share = cover.mean(dim=(1, 2, 3))
    assert 8 < int((share > 0).sum()) < 32
    assert float(share.max()) < 0.5
    shown = cover[share > 0.03]
    assert bool((shown.amax(dim=(1, 2, 3)) == 1).all())
    # The edge is soft: neither all nor nothing somewhere, and never a jump over all of it.
    assert float((cover[..., 1:] - cover[..., :-1]).abs().max()) < 0.95
    assert bool((((shown > 0.05) & (shown < 0.95)).sum(dim=(1, 2, 3)) > 3).all())


def test_textures_come_from_another_face() -> None:
    _, colours, faces = _occluded(1.0)
    flat = colours.amax(dim=(2, 3)) - colours.amin(dim=(2, 3)) < 1e-5
    assert bool(flat.all())
    lent = (colours[:, 0, 0, 0] - faces.roll(1, 0)[:, 0, 0, 0]).abs() < 1e-5
    assert 8 < int(lent.sum()) < 32
    assert not bool(((colours[:, 0, 0, 0] - faces[:, 0, 0, 0]).abs() < 1e-5)[lent].any())


def test_the_mask_leaves_out_what_lies_before_the_face_and_the_target_shows_the_face() -> None:
    pixels = torch.full((32, 5, 40, 40), 128, dtype=torch.uint8)
    pixels[:, 3] = 255
    still = {
        name: 0.0
        for name in ("warp", "gain", "gamma", "input_gain", "input_offset", "input_contrast", "grey", "rough")
    }
    batch = augment(
        pixels, 0.8, 64, generator(5), Augmentation(**still, occlude=1.0, rescale=0.0, compress=0.0)
    )
    changed = (batch.input - 128 / 255).abs().amax(dim=1, keepdim=True)
    torch.testing.assert_close(batch.target, torch.full_like(batch.target, 128 / 255))
    # Where the input is not the face's own colour, the mask has gone by as much.
    assert float(batch.mask[changed > 0.4].max()) < 0.5
    assert bool((changed[batch.mask == 1] < 1e-5).all())
    assert 0.3 < float(batch.mask.mean()) < 0.98
