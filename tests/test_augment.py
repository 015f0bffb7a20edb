"""Augmentation: what moves with what, what stays, and what follows from the place in the run."""

from __future__ import annotations

import dataclasses

import torch

from crossface.training.augment import Augmentation, augment
from crossface.training.seeds import generator

# Nothing happens, to any amount.
STILL = dataclasses.replace(
    Augmentation(),
    **{field.name: 0.0 for field in dataclasses.fields(Augmentation) if field.type == "float"},
)

# What an amount means nothing without, and what is not what it is anyway.
NEEDS = {"noise": "rough", "rescale_factor": "rescale", "quality": "compress"}
OTHER = {"rescale_factor": 4.0, "quality": (5.0, 6.0)}


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
    # What lies before a face is in its mask too.
    clear = dataclasses.replace(Augmentation(), occlude=0)
    inputs = ("warp", "input_gain", "input_offset", "input_contrast", "grey", "rough", "rescale", "compress")
    plain = dataclasses.replace(clear, **dict.fromkeys(inputs, 0))
    full = augment(_faces(), 0.8, 64, generator(3), clear)
    calm = augment(_faces(), 0.8, 64, generator(3), plain)
    assert torch.equal(full.target, calm.target)
    assert torch.equal(full.mask, calm.mask)
    torch.testing.assert_close(calm.input, calm.target, atol=1e-5, rtol=0)
    assert float((full.input - full.target).abs().mean()) > 0.02


def test_every_amount_changes_something_and_stays_in_range() -> None:
    for name in (field.name for field in dataclasses.fields(Augmentation)):
        # Noise falls on rough inputs only, and so on.
        before = dataclasses.replace(STILL, **{NEEDS[name]: 1.0}) if name in NEEDS else STILL
        certain = name in ("flip", "grey", "rough", "occlude", "rescale", "compress")
        amount = 1.0 if certain else OTHER.get(name, getattr(Augmentation(), name))
        batch = augment(_faces(), 0.8, 64, generator(4), dataclasses.replace(before, **{name: amount}))
        still = augment(_faces(), 0.8, 64, generator(4), before)
        assert not torch.equal(batch.input, still.input), name
        assert all(float(part.min()) >= 0 and float(part.max()) <= 1 for part in batch[:4]), name


def test_the_same_place_draws_the_same_and_another_draws_otherwise() -> None:
    first, again, other = (
        augment(_faces(), 0.8, 64, generator(*place)) for place in ((7, 1), (7, 1), (7, 2))
    )
    assert all(torch.equal(a, b) for a, b in zip(first[:4], again[:4], strict=True))
    assert not torch.equal(first.input, other.input)
